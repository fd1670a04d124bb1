/** What each component of the broker logs; a change counts at once. */
import { useSignal } from "@preact/signals";
import { del, get, put, seg } from "../api";
import type { LogLevel } from "../api-types";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may } from "../session";
import { t } from "../text";
import { param } from "../url";

const LEVELS = ["debug", "info", "warning", "error"];

export default function Logs() {
  const asked = useAsk("log levels", (signal) => get<LogLevel[]>("log/levels", {}, signal), { keep: true });
  const busy = useSignal("");
  const wanted = param("component").toLowerCase();
  const act = async (row: LogLevel, level: string | null): Promise<void> => {
    const path = `log/levels/${seg(row.component)}`;
    busy.value = row.component;
    await (level === null ? del(path) : put(path, { level })).then(() => toast(level === null
      ? t("logs.taken-back", { component: row.component }) : t("logs.changed", { component: row.component, level })), complain);
    busy.value = "";
    asked.again();
  };
  const columns: Column<LogLevel>[] = [
    { id: "component", title: t("logs.component"), cell: (row) => <Id>{row.component}</Id> },
    { id: "level", title: t("logs.level"), cell: (row) => !may("administrator") ? row.level
      : <select aria-label={t("logs.level-of", { component: row.component })} value={row.level} disabled={busy.value === row.component}
        onChange={(event) => void act(row, event.currentTarget.value)}>{LEVELS.map((one) => <option key={one} value={one}>{one}</option>)}</select> },
    { id: "set", title: t("logs.set"), cell: (row) => !row.set ? <span class="quiet">{t("logs.general")}</span>
      : <span class="row">{t("logs.own")}{may("administrator") && <button class="link" aria-label={`${t("form.take-back")} ${row.component}`}
        onClick={() => void act(row, null)}>{t("form.take-back")}</button>}</span> },
  ];
  return <>
    <Heading title={t("place.logs")}><Filters filters={[{ name: "component", label: t("logs.component") }]} /></Heading>
    <p class="label">{t("logs.hint")}</p>
    <States asked={asked}>{(rows) => {
      const shown = rows.filter((row) => row.component.toLowerCase().includes(wanted));
      return shown.length ? <Table caption={t("place.logs")} rows={shown} columns={columns} rowKey={(row) => row.component} />
        : <div class="sheet state-box">{t("logs.none")}</div>;
    }}</States>
  </>;
}
