/** Who changed what, from where, with what result; and who failed to log in. */
import { useSignal } from "@preact/signals";
import type { AuditRow as Change } from "../api-types";
import { Dialog } from "../parts/dialog";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { ListOf, useList } from "../parts/list";
import type { Column } from "../parts/table";
import { Id } from "../parts/topic";
import { known, t } from "../text";
import { absolute, when } from "../time";

function laidOut(params: string): string {
  try {
    return JSON.stringify(JSON.parse(params), null, 2);
  } catch { // cut, as long ones are
    return params;
  }
}

export default function Audit() {
  const open = useSignal<Change | null>(null);
  const list = useList<Change>("audit/", { filters: ["_like_who", "_like_action", "_like_path", "_like_from", "_gte_status", "_gte_at", "_lte_at"], every: 10 });
  const columns: Column<Change>[] = [
    { id: "at", title: t("audit.at"), sort: "at_ts", cell: (row) => <time title={absolute(row.at_ts)}>{when(row.at_ts)}</time> },
    { id: "who", title: t("audit.who"), sort: "who", cell: (row) => <><Id>{row.who}</Id> <span class="quiet">{known("audit.kind", row.kind)}</span></> },
    { id: "from", title: t("audit.from"), cell: (row) => <Id>{row.from}</Id> },
    { id: "action", title: t("audit.action"), sort: "action", cell: (row) =>
      <button class="link" onClick={() => (open.value = row)}><Id>{row.action}</Id></button> },
    { id: "path", title: t("audit.target"), cell: (row) => <Id>{row.path}</Id>, hint: (row) => `${row.method} ${row.path}` },
    { id: "status", title: t("audit.status"), number: true, sort: "status", cell: (row) => <span class={row.status >= 400 ? "bad" : undefined}>{row.status}</span> },
    { id: "result", title: t("audit.result"), cell: (row) => <Id>{row.result}</Id>, hint: (row) => row.result },
  ];
  const shown = open.value;
  return <>
    <Heading title={t("place.audit")}>
      <Filters filters={[
        { name: "_like_who", label: t("audit.who") }, { name: "_like_action", label: t("audit.action") },
        { name: "_like_path", label: t("audit.target") }, { name: "_like_from", label: t("audit.from") },
        { name: "_gte_at", label: t("audit.since") }, { name: "_lte_at", label: t("audit.until") },
        { name: "_gte_status", label: t("audit.status"), choices: [["400", t("audit.failed")]] },
      ]} />
    </Heading>
    <ListOf list={list} caption={t("place.audit")} columns={columns} onOpen={(row) => (open.value = row)} empty={t("audit.empty")}
      rowKey={(row) => `${row.at_ts} ${row.who} ${row.action} ${row.path} ${row.params} ${row.status}`} />
    {shown && <Dialog title={shown.action} close={() => (open.value = null)} className="record">
      <p>{absolute(shown.at_ts)} · <Id>{shown.who}</Id> {known("audit.kind", shown.kind)} · <Id>{shown.from}</Id></p>
      <p><code>{shown.method} </code><Id whole>{shown.path}</Id></p>
      <h3 class="label">{t("audit.params")}</h3>
      <pre class="mono" tabIndex={0}>{laidOut(shown.params).split("\n").map((line, index) => <div key={index}><Id whole>{line}</Id></div>)}</pre>
      <h3 class="label">{t("audit.result")} · {shown.status}</h3>
      <p class={shown.status >= 400 ? "bad" : undefined}><Id whole>{shown.result}</Id></p>
      <div class="actions"><button class="main" onClick={() => (open.value = null)}>{t("confirm.close")}</button></div>
    </Dialog>}
  </>;
}
