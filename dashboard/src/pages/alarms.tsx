/** Alarms that stand and that were cleared; what each means and what to do. */
import { useEffect } from "preact/hooks";
import { get, seg } from "../api";
import { listen, type Rates } from "../live";
import { Chart } from "../parts/chart";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { Id } from "../parts/topic";
import { summed, valuesOf } from "../rates";
import { useAsk } from "../refresh";
import type { Alarm } from "../standing";
import { known, t } from "../text";
import { figure, now, span, when } from "../time";
import { param, setParams } from "../url";

type Row = Alarm & { node: string; clear_at?: string; clear_at_ts?: number };
const SIGN = { notice: "quiet", warning: "warn", error: "bad", critical: "bad" } as const;

export default function Alarms() {
  const isHistory = param("shown") === "history";
  const node = param("node"), id = param("id");
  const asked = useAsk(`alarms ${isHistory} ${node}`, async (signal) => {
    const nodes = await get<{ node: string; alarms: Row[] }[]>(isHistory ? "alarms/history" : "alarms/present", {}, signal);
    return nodes.filter((one) => !node || one.node === node).flatMap((one) => one.alarms.map((alarm) => ({ ...alarm, node: one.node })))
      .sort((one, other) => (other.timestamp_ts ?? 0) - (one.timestamp_ts ?? 0));
  }, { every: 30 });
  useEffect(() => {
    const ends = [listen("alarm_raised", asked.again), listen("alarm_cleared", asked.again)];
    return () => ends.forEach((end) => end());
  }, []);
  const columns: Column<Row>[] = [
    { id: "severity", title: t("alarms.severity"), cell: (row) => <span class={SIGN[row.severity]}>▲ {known("severity", row.severity)}</span> },
    { id: "id", title: t("alarms.alarm"), cell: (row) => <button class="link" aria-expanded={row.id === id}
      onClick={() => setParams({ id: row.id === id ? "" : row.id }, { step: true })}><code>{row.id}</code></button> },
    { id: "what", title: t("alarms.what"), cell: (row) => row.summary, hint: (row) => row.summary },
    { id: "since", title: t("alarms.since"), cell: (row) => row.timestamp_ts ? when(row.timestamp_ts) : row.timestamp },
    isHistory
      ? { id: "cleared", title: t("alarms.cleared"), cell: (row) => row.clear_at_ts ? when(row.clear_at_ts) : row.clear_at }
      : { id: "lasts", title: t("alarms.lasts"), cell: (row) => row.timestamp_ts ? span(now.value - row.timestamp_ts) : "" },
    ...(isHistory ? [{ id: "lasted", title: t("alarms.lasted"), cell: (row: Row) =>
      row.timestamp_ts && row.clear_at_ts ? span(row.clear_at_ts - row.timestamp_ts) : "" }] : []),
    { id: "node", title: t("alarms.node"), cell: (row) => <Id>{row.node}</Id> },
  ];
  const alarm = asked.data?.find((row) => row.id === id);
  const advice = id.split("/")[0]!;
  const said = known("alarm.advice", advice);
  return <>
    <Heading title={t("place.alarms")}>
      <div class="segments" role="group" aria-label={t("alarms.shown")}>
        <button aria-pressed={!isHistory} onClick={() => setParams({ shown: "" }, { step: true })}>{t("alarms.stand")}</button>
        <button aria-pressed={isHistory} onClick={() => setParams({ shown: "history" }, { step: true })}>{t("alarms.history")}</button>
      </div>
    </Heading>
    <div class="stack">
      <States asked={asked} sheet isEmpty={(rows) => rows.length === 0} empty={t(isHistory ? "alarms.none-cleared" : "alarms.none")}>{(rows) =>
        <Table caption={t("place.alarms")} rows={rows} columns={columns} rowKey={(row) => `${row.node} ${row.id} ${row.timestamp}`}
          onOpen={(row) => setParams({ id: row.id }, { step: true })} />}</States>
      {id && <section class="sheet"><header><h2><code>{id}</code> {alarm?.title}</h2></header><div class="body">
        {alarm && <p>{alarm.summary}</p>}
        {alarm?.timestamp_ts && <Around key={alarm.timestamp_ts} alarm={alarm} since={alarm.timestamp_ts} />}
        <p>{said === advice ? t("alarms.no-advice") : said}</p>
      </div></section>}
    </div>
  </>;
}

/** Seconds before and after it: by the second as long as these are kept, else by the minute. */
const AROUND = { seconds: 600, minutes: 1800 } as const;
const KEPT_S = 3600;

/** What the node's messages and connections did while it stood. */
function Around({ alarm: { node, clear_at_ts }, since }: { alarm: Row; since: number }) {
  const by = since > Date.now() / 1000 - KEPT_S + AROUND.seconds ? "seconds" : "minutes";
  const asked = useAsk(`around ${node} ${since} ${clear_at_ts}`, async (signal) => summed([{ node,
    rates: await get<Rates[]>(`nodes/${seg(node)}/rates/${by}`, { first: Math.floor(since) - AROUND[by],
      last: clear_at_ts ? Math.ceil(clear_at_ts) + AROUND[by] : undefined }, signal) }], by === "seconds" ? 1 : 60), { every: clear_at_ts ? "hand" : 30 });
  return <States asked={asked} isEmpty={(history) => history.length === 0} empty={t("alarms.no-rates")}>{(history) => {
    const ts = history.map((one) => one.ts), marks = [{ from: since, to: clear_at_ts ?? Infinity }];
    return <div class="charts">
      <Chart title={t("overview.messages")} ts={ts} marks={marks} write={figure} series={[
        { label: t("overview.in"), color: "in", values: valuesOf(history, "received") },
        { label: t("overview.out"), color: "out", values: valuesOf(history, "sent") },
        { label: t("overview.dropped"), color: "lost", values: valuesOf(history, "dropped") }]} />
      <Chart title={t("overview.clients")} ts={ts} marks={marks} write={figure} series={[
        { label: t("overview.connections"), color: "clients", values: valuesOf(history, "connections") }]} />
    </div>;
  }}</States>;
}
