/** What is done to clients: disconnected, banned, forgotten, unsubscribed. Each asks first. */
import { del, Failure, post, seg } from "./api";
import { onNode, type SessionRow } from "./client-rows";
import { batch, MANY } from "./parts/confirm";
import { Id, Topic } from "./parts/topic";
import { session } from "./session";
import { t } from "./text";

const SHOWN = 10;

/** The ids that are acted on, the first of them by name. */
function Targets({ ids }: { ids: readonly string[] }) {
  return <ul class="targets">{ids.slice(0, SHOWN).map((id) => <li key={id}><Id>{id}</Id></li>)}
    {ids.length > SHOWN && <li class="quiet">{t("act.more", { n: ids.length - SHOWN })}</li>}</ul>;
}

/** The ids stand in the body: in a path, a lone dot and a proxy's slash would be lost. */
async function disconnect(id: string): Promise<void> {
  const [row] = await post<{ code: number }[]>("connections/kickout_batch", { client_ids: [id] });
  if (row?.code !== 0) throw new Failure("missing", 200, t("act.not-connected"));
}

export function kick(ids: readonly string[]): Promise<boolean> {
  return batch(ids, {
    title: t("act.kick-title", { n: ids.length }), verb: t("act.kick"), danger: true, name: (id) => id, run: disconnect,
    body: <><Targets ids={ids} /><p>{t("act.kick-follows")}</p></>, done: t("act.kicked", { n: ids.length }),
  });
}

const FOR_HOURS = [1, 24, 168, 720, 0] as const;

/** `connected`: those that are, of `ids`; they are disconnected, too. */
export function ban(ids: readonly string[], connected: ReadonlySet<string>): Promise<boolean> {
  const wanted = { reason: "", hours: 24 };
  return batch(ids, {
    title: t("act.ban-title", { n: ids.length }), verb: t("act.ban"), danger: true, name: (id) => id,
    run: async (id) => {
      await post("banned/", { who: id, as: "client_id", reason: wanted.reason, by: session.value?.username, desc: "",
        until: wanted.hours ? Math.floor(Date.now() / 1000) + wanted.hours * 3600 : "undefined" });
      if (connected.has(id)) await disconnect(id).catch((error: Failure) => {
        if (error.kind !== "missing") throw error;
      });
    },
    body: <><Targets ids={ids} /><p>{t("act.ban-follows")}</p>
      <label class="field"><span class="label">{t("act.ban-for")}</span>
        <select onChange={(event) => (wanted.hours = Number(event.currentTarget.value))}>{FOR_HOURS.map((hours) =>
          <option key={hours} value={hours} selected={hours === wanted.hours}>{t(`act.for.${hours}`)}</option>)}</select></label>
      <label class="field"><span class="label">{t("act.ban-reason")}</span>
        <input onInput={(event) => (wanted.reason = event.currentTarget.value)} /></label></>,
    done: t("act.banned", { n: ids.length }),
  });
}

/** Sessions of clients that are not connected. */
export function forget(rows: readonly SessionRow[]): Promise<boolean> {
  return batch(rows, {
    title: t("act.forget-title", { n: rows.length }), verb: t("act.forget"), danger: true, name: (row) => row.client_id,
    run: (row) => del(onNode(row.node, `sessions/persistent/${seg(row.client_id)}`)),
    body: <><Targets ids={rows.map((row) => row.client_id)} /><p>{t("act.forget-follows")}</p></>, done: t("act.forgotten", { n: rows.length }),
  });
}

/** `group`: of a shared subscription, else `undefined`. */
export interface Subscription {
  client_id: string; topic: string; qos: number; node: string; group: string;
  no_local: boolean; retain_as_published: boolean; retain_handling: number; subscription_id: number;
}

/** As a client writes it. */
export function filterOf({ topic, group }: Subscription): string {
  return group === "undefined" ? topic : group === "$queue" ? `$queue/${topic}` : `$share/${group}/${topic}`;
}

/** Undo subscribes again, with the QoS that stood. */
export function unsubscribe(rows: readonly Subscription[]): Promise<boolean> {
  return batch(rows, {
    title: t("act.unsubscribe-title", { n: rows.length }), verb: t("act.unsubscribe"), danger: true,
    name: (row) => `${row.client_id} ${filterOf(row)}`,
    run: (row) => post("mqtt/unsubscribe", { client_id: row.client_id, topic: filterOf(row) }),
    body: <><ul class="targets">{rows.slice(0, SHOWN).map((row) => <li key={`${row.client_id} ${filterOf(row)}`}>
      <Id>{row.client_id}</Id> <Topic>{filterOf(row)}</Topic></li>)}
    {rows.length > SHOWN && <li class="quiet">{t("act.more", { n: rows.length - SHOWN })}</li>}</ul>
    <p>{t("act.unsubscribe-follows")}</p></>,
    done: t("act.unsubscribed", { n: rows.length }),
    undo: rows.length > MANY ? undefined
      : () => Promise.all(rows.map((row) => post("mqtt/subscribe", { client_id: row.client_id, topics: [filterOf(row)], qos: row.qos }))),
  });
}
