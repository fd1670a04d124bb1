/** What stands about the connection and the session; beside those of another client where one is named. */
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { given, knownOf, NEVER_EXPIRES, type Connection, type Known, type SessionRow } from "../../client-rows";
import { FailureLine } from "../../parts/states";
import { ClientLink, Id, Topic } from "../../parts/topic";
import { useAsk } from "../../refresh";
import { number, t, type Key } from "../../text";
import { absolute, bytes, figure, now, span } from "../../time";
import { param, setParams } from "../../url";
import { ofMost } from "../sessions";

/** `raw` tells whether two clients differ. */
interface Fact { name: Key; raw: unknown; shown: ComponentChildren }
interface Sheet { title: Key; facts: Fact[] }
type Counter = "recv_msg" | "send_msg" | "recv_oct" | "send_oct";

const fact = (name: Key, raw: unknown, shown: ComponentChildren): Fact => ({ name, raw, shown });
const count = (name: Key, value: number, shown: ComponentChildren = number(value)): Fact => fact(name, value, shown);
const flag = (name: Key, is: boolean): Fact => fact(name, is, t(is ? "clients.yes" : "clients.no"));
const date = (ts: number): ComponentChildren => <>{absolute(ts)} <span class="quiet">({span(now.value - ts)})</span></>;

/** A counter, and what it grew by each second between the last two answers. */
function useRate(connection: Connection | undefined): (name: Counter) => number | null {
  const seen = useRef<{ row: Connection | undefined; at: number; before?: { row: Connection; at: number } }>({ row: undefined, at: 0 });
  if (connection && connection !== seen.current.row) {
    const { row, at } = seen.current;
    const isSame = row?.connected_at_ts === connection.connected_at_ts && row.client_id === connection.client_id;
    seen.current = { row: connection, at: performance.now() / 1000, before: row && isSame ? { row, at } : undefined };
  }
  return (name) => {
    const { row, at, before } = seen.current;
    return row && before && at > before.at ? (row[name] - before.row[name]) / (at - before.at) : null;
  };
}

function ofConnection(one: Connection, rate: (name: Counter) => number | null): Sheet[] {
  const grows = (name: Key, of: Counter, write: (value: number) => string, total: (value: number) => string): Fact => {
    const value = rate(of);
    return count(name, one[of], <>{total(one[of])}{value !== null && <span class="quiet"> · {t("client.per-second", { value: write(value) })}</span>}</>);
  };
  return [{ title: "client.connection", facts: [
    fact("clients.user", one.username, <Id whole>{given(one.username)}</Id>),
    fact("clients.address", one.ipaddress, <code>{one.ipaddress}:{one.port}</code>),
    fact("client.protocol", one.proto_ver, `${one.proto_name} ${one.proto_ver}`),
    fact("client.since", one.connected_at_ts, date(one.connected_at_ts)),
    fact("clients.keepalive", one.keepalive, t("client.seconds", { n: one.keepalive })),
    flag("client.clean-start", one.clean_start),
    fact("client.will", one.will_topic, given(one.will_topic) ? <Topic linked>{one.will_topic}</Topic> : "–"),
    fact("client.certificate", one.peercert, given(one.peercert) && one.peercert !== "nossl" ? <Id>{one.peercert}</Id> : "–"),
    fact("client.mountpoint", one.mountpoint, <Id>{given(one.mountpoint)}</Id>),
    flag("client.super", one.is_super),
    flag("client.bridge", one.is_bridge),
    fact("subscriptions.node", one.node, <code>{one.node}</code>),
  ] }, { title: "client.traffic", facts: [
    grows("client.messages-in", "recv_msg", figure, number),
    grows("client.messages-out", "send_msg", figure, number),
    count("client.packets-in", one.recv_pkt),
    count("client.packets-out", one.send_pkt),
    grows("client.bytes-in", "recv_oct", bytes, bytes),
    grows("client.bytes-out", "send_oct", bytes, bytes),
    count("clients.waiting", one.send_pend, bytes(one.send_pend)),
    count("client.acks", one.mailbox_len),
    fact("clients.slow", one.is_slow, one.is_slow ? <span class="bad">▲ {t("client.slow-means")}</span> : t("clients.no")),
    fact("client.held", one.is_held, one.is_held ? <span class="warn">▲ {t("client.held-means")}</span> : t("clients.no")),
  ] }];
}

function ofSession(one: SessionRow): Sheet {
  return { title: "client.session", facts: [
    fact("client.since", one.created_at_ts, date(one.created_at_ts)),
    fact("sessions.expiry", one.expiry_interval, one.expiry_interval >= NEVER_EXPIRES ? t("sessions.never") : span(one.expiry_interval)),
    count("place.subscriptions", one.subscriptions_count, ofMost(one.subscriptions_count, one.max_subscriptions)),
    count("sessions.inflight", one.inflight_len, ofMost(one.inflight_len, one.max_inflight)),
    count("sessions.queue", one.mqueue_len, <>{ofMost(one.mqueue_len, one.max_mqueue)} <span class="quiet">({bytes(one.mqueue_bytes)})</span></>),
    count("sessions.dropped", one.mqueue_dropped, <span class={one.mqueue_dropped ? "bad" : undefined}>{number(one.mqueue_dropped)}</span>),
    count("client.awaiting", one.awaiting_rel_len, ofMost(one.awaiting_rel_len, one.max_awaiting_rel)),
    count("client.publishers", one.publishers_waiting),
    count("client.delivered", one.deliver_msg),
    count("client.queued", one.enqueue_msg),
  ] };
}

const sheetsOf = ({ connection, session }: Known, rate: (name: Counter) => number | null): Sheet[] =>
  [...connection ? ofConnection(connection, rate) : [], ...session ? [ofSession(session)] : []];

export function Facts(known: Known) {
  const rate = useRate(known.connection);
  const other = param("with");
  return <>
    <CompareWith other={other} />
    {other ? <Beside known={known} other={other} /> : <div class="panels">{sheetsOf(known, rate).map(({ title, facts }) =>
      <section class="sheet" key={title}><header><h2>{t(title)}</h2></header><div class="body"><dl class="facts">
        {facts.map(({ name, shown }) => <><dt>{t(name)}</dt><dd>{shown}</dd></>)}</dl></div></section>)}</div>}
  </>;
}

function CompareWith({ other }: { other: string }) {
  const [typed, setTyped] = useState(other);
  return <form class="row lead" onSubmit={(event) => {
    event.preventDefault();
    setParams({ with: typed }, { step: true });
  }}>
    <input class="mono" size={28} required aria-label={t("client.compare-with")} placeholder={t("client.compare-with")} value={typed} spellcheck={false}
      onInput={(event) => setTyped(event.currentTarget.value)} />
    <button>{t("client.compare")}</button>
    {other && <button type="button" class="link" onClick={() => {
      setTyped("");
      setParams({ with: "" }, { step: true });
    }}>{t("client.alone")}</button>}
  </form>;
}

const never = (): null => null;

function Beside({ known, other }: { known: Known; other: string }) {
  const node = param("node");
  const asked = useAsk(`beside ${other} ${node}`, (signal) => knownOf(other, node, signal), { every: 5 });
  const [mine, its] = [sheetsOf(known, never), sheetsOf(asked.data ?? { connection: undefined, session: undefined }, never)];
  const titles = [...new Set([...mine, ...its].map((sheet) => sheet.title))];
  const rowsOf = (title: Key) => {
    const [one, two] = [mine, its].map((sheets) => new Map(sheets.find((sheet) => sheet.title === title)?.facts.map((found) => [found.name, found])));
    return [...new Set([...one!.keys(), ...two!.keys()])].map((name) => ({ name, mine: one!.get(name), its: two!.get(name) }));
  };
  const id = known.session?.client_id ?? known.connection?.client_id ?? "";
  return <>
    <FailureLine asked={asked} />
    {asked.data && !asked.data.session && !asked.data.connection && <p class="warn">{t("client.other-unknown")}</p>}
    <div class="table" tabIndex={0} role="region" aria-label={t("client.compare")}><table>
      <thead><tr><th scope="col">{t("client.fact")}</th><th scope="col"><Id>{id}</Id></th><th scope="col"><ClientLink id={other} /></th></tr></thead>
      {titles.map((title) => <tbody key={title}>
        <tr><th scope="rowgroup" colSpan={3}>{t(title)}</th></tr>
        {rowsOf(title).map((row) => {
          const differs = asked.data !== undefined && row.mine?.raw !== row.its?.raw;
          return <tr key={row.name}><td>{differs && <span class="warn">≠<span class="hidden"> {t("client.differs")}</span> </span>}{t(row.name)}</td>
            <td>{row.mine?.shown ?? "–"}</td><td>{row.its?.shown ?? "–"}</td></tr>;
        })}</tbody>)}
    </table></div>
  </>;
}
