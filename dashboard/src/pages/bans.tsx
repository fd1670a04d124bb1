/** Bans by client id, user name and address: list, add, end. */
import { useSignal } from "@preact/signals";
import { del, post, seg, type Failure } from "../api";
import { batch } from "../parts/confirm";
import { Dialog } from "../parts/dialog";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { Icon } from "../parts/icon";
import { ListOf, useList } from "../parts/list";
import type { Column } from "../parts/table";
import { toast } from "../parts/toast";
import { ClientLink, Id } from "../parts/topic";
import { may, session } from "../session";
import { t } from "../text";
import { now, span, when } from "../time";
import { param, setParams } from "../url";

const KINDS = ["client_id", "username", "ip_address"] as const;
interface Ban { as: (typeof KINDS)[number]; who: string; by: string; desc: string; reason: string; until: number | "undefined" }
const UNDEFINED = "undefined";
const LASTING = [600, 3600, 86_400, 604_800, 0];

const given = (text: string) => (text === UNDEFINED || text === "" ? <span class="quiet">–</span> : <Id>{text}</Id>);
const members = (ban: Ban) => Object.fromEntries(Object.entries(ban).filter(([name, value]) => value !== UNDEFINED || name === "who"));

export default function Bans() {
  const list = useList<Ban>("banned/", { filters: ["_like_who", "as"], every: 10 });
  const adds = useSignal(param("who") !== "");
  const columns: Column<Ban>[] = [
    { id: "as", title: t("bans.kind"), sort: "as", cell: (row) => t(`bans.kind.${row.as}`) },
    { id: "who", title: t("bans.who"), sort: "who", cell: (row) => row.as === "client_id" ? <ClientLink id={row.who} /> : <Id>{row.who}</Id> },
    { id: "reason", title: t("bans.reason"), sort: "reason", cell: (row) => given(row.reason), hint: (row) => row.reason },
    { id: "desc", title: t("bans.remark"), cell: (row) => given(row.desc), hint: (row) => row.desc },
    { id: "by", title: t("bans.by"), sort: "by", cell: (row) => given(row.by) },
    { id: "until", title: t("bans.until"), cell: (row) => row.until === UNDEFINED ? t("bans.forever")
      : t("bans.ends", { at: when(row.until as number), span: span((row.until as number) - now.value) }) },
  ];
  return <>
    <Heading title={t("place.bans")}>
      <Filters filters={[{ name: "_like_who", label: t("bans.who") },
        { name: "as", label: t("bans.kind"), choices: KINDS.map((kind) => [kind, t(`bans.kind.${kind}`)] as const) }]} />
      <span class="spread" />
      {may("operator") && <button class="main" onClick={() => (adds.value = true)}><Icon name="plus" /> {t("bans.add")}</button>}
    </Heading>
    <ListOf list={list} caption={t("place.bans")} columns={columns} rowKey={(row) => `${row.as} ${row.who}`} empty={t("bans.none")}
      actions={may("operator") ? (rows, clear) => <button onClick={() => void batch(rows, {
        title: t("bans.end-title", { n: rows.length }), body: <p>{t("bans.end-body")}</p>, verb: t("bans.end"), name: (row) => row.who,
        run: (row) => del(`banned/${seg(row.who)}`, { as: row.as }), done: t("bans.ended", { n: rows.length }),
        undo: async () => {
          await Promise.all(rows.map((row) => post("banned/", members(row))));
          list.asked.again();
        },
      }).then((done) => {
        if (!done) return;
        clear();
        list.asked.again();
      })}>{t("bans.end")}</button> : undefined} />
    {adds.value && may("operator") && <Add close={() => {
      adds.value = false;
      setParams({ who: "", kind: "" });
    }} added={() => list.asked.again()} />}
  </>;
}

function Add({ close, added }: { close: () => void; added: () => void }) {
  const kind = useSignal(KINDS.find((one) => one === param("kind")) ?? KINDS[0]);
  const who = useSignal(param("who"));
  const reason = useSignal("");
  const desc = useSignal("");
  const lasts = useSignal(LASTING[1]!);
  const refused = useSignal("");
  const add = (): void => void post("banned/", {
    as: kind.value, who: who.value, reason: reason.value || undefined, desc: desc.value || undefined, by: session.value?.username ?? undefined,
    until: lasts.value ? Math.floor(Date.now() / 1000) + lasts.value : undefined,
  }).then(() => {
    toast(t("bans.added"));
    close();
    added();
  }, (error: Failure) => (refused.value = error.message));
  return <Dialog title={t("bans.add-title")} close={close}>
    <form onSubmit={(event) => {
      event.preventDefault();
      add();
    }}>
      <p class="quiet">{t("bans.add-body")}</p>
      <label class="field"><span class="label">{t("bans.kind")}</span>
        <select value={kind.value} onChange={(event) => (kind.value = event.currentTarget.value as Ban["as"])}>
          {KINDS.map((one) => <option key={one} value={one}>{t(`bans.kind.${one}`)}</option>)}</select></label>
      <label class="field"><span class="label">{t("bans.who")}</span>
        <input class="mono" required value={who.value} spellcheck={false} onInput={(event) => (who.value = event.currentTarget.value)} /></label>
      <label class="field"><span class="label">{t("bans.lasts")}</span>
        <select value={lasts.value} onChange={(event) => (lasts.value = Number(event.currentTarget.value))}>
          {LASTING.map((one) => <option key={one} value={one}>{one ? span(one) : t("bans.forever")}</option>)}</select></label>
      <label class="field"><span class="label">{t("bans.reason")}</span>
        <input value={reason.value} onInput={(event) => (reason.value = event.currentTarget.value)} /></label>
      <label class="field"><span class="label">{t("bans.remark")}</span>
        <input value={desc.value} onInput={(event) => (desc.value = event.currentTarget.value)} /></label>
      {refused.value && <p class="bad" role="alert">{refused.value}</p>}
      <div class="actions"><button type="button" onClick={close}>{t("confirm.cancel")}</button><button class="main">{t("bans.ban")}</button></div>
    </form>
  </Dialog>;
}
