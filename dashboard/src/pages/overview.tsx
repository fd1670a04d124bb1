/** What the broker does now: figures, charts, alarms, nodes, refusals. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { get } from "../api";
import { liveState, type Rates } from "../live";
import { Chart, type Series } from "../parts/chart";
import { Heading } from "../parts/heading";
import { Spark } from "../parts/spark";
import { FailureLine, Skeleton, States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain } from "../parts/toast";
import { Id } from "../parts/topic";
import { SPANS, useRates, valuesOf, type History, type Measure, type NodeRates, type Span } from "../rates";
import { refusals } from "../refusals";
import { useAsk } from "../refresh";
import { standing } from "../standing";
import { known, number, rich, t, type Key } from "../text";
import { bytes, clock, figure, span, when } from "../time";
import { href, param, setParams } from "../url";

type Stats = { node: string } & Record<string, number>;

interface NodeRow extends ListedNodeRow { files?: number; rates: readonly Rates[] }

interface ListedNodeRow {
  name: string;
  node_status: string;
  uptime_s: number;
  connections: number;
  load1: string;
  memory_used: number;
  memory_total: number;
  max_connections: number;
  max_fds: number;
  hub_lag_ms: number;
}

export default function Overview() {
  const node = param("node");
  const shown = (param("span") in SPANS ? param("span") : "10m") as Span;
  const alarms = standing.value.length;
  return <>
    <Heading title={t("place.overview")}>
      {alarms > 0 && <a class="warn" href={href("alarms")}>▲ {t("overview.alarms-stand", { n: alarms })}</a>}
      <span class="spread" />
      <div class="segments" role="group" aria-label={t("overview.span")}>
        {(Object.keys(SPANS) as Span[]).map((one) => <button key={one} aria-pressed={shown === one}
          onClick={() => setParams({ span: one === "10m" ? "" : one }, { step: true })}>{t(`overview.span.${one}`)}</button>)}
      </div>
    </Heading>
    <div class="stack">
      <Traffic node={node} shown={shown} />
      {alarms > 0 && <Alarms />}
      <Nodes node={node} />
      <Refusals node={node} />
    </div>
  </>;
}

function Traffic({ node, shown }: { node: string; shown: Span }) {
  const rates = useRates(shown, node);
  const zoom = useSignal<readonly [number, number] | null>(null);
  useEffect(() => void (zoom.value = null), [shown, node]);
  const { history } = rates;
  const ts = useMemo(() => history.map((one) => one.ts), [history]);
  const marks = standing.value.flatMap((alarm) => (alarm.timestamp_ts ? [{ from: alarm.timestamp_ts, to: Infinity }] : []));
  const series = (color: Series["color"], measure: Measure, label: Key): Series =>
    ({ label: t(label), color, values: valuesOf(history, measure) });
  const charts: { title: Key; series: Series[]; write?: (value: number) => string; binary?: boolean }[] = [
    { title: "overview.messages", series: [series("in", "received", "overview.in"), series("out", "sent", "overview.out")] },
    { title: "overview.not-delivered", series: [series("lost", "dropped", "overview.dropped"), series("idle", "unrouted", "overview.unrouted")] },
    { title: "overview.bytes", series: [series("in", "received_bytes", "overview.in"), series("out", "sent_bytes", "overview.out")], write: bytes, binary: true },
    { title: "overview.clients", series: [series("clients", "connections", "overview.connections"), series("in", "connects", "overview.connects")] },
  ];
  return <>
    <Figures node={node} history={history} shown={shown} />
    <FailureLine asked={rates} />
    {rates.data === undefined ? !rates.failure && <Skeleton lines={8} /> : <div class="sheet charts">{charts.map((one) =>
      <Chart key={one.title} title={t(one.title)} ts={ts} series={one.series} write={one.write ?? figure} marks={marks} binary={one.binary}
        zoom={zoom.value} onZoom={(wanted) => (zoom.value = wanted)} />)}</div>}
  </>;
}

/** Messages in the time that is shown: each rate is of the second or the mean second of the minute before it. */
function total(history: History, measure: Measure, step: number): number {
  return Math.round(history.reduce((sum, { rates }) => sum + (rates ? rates[measure] * step : 0), 0));
}

function Figures({ node, history, shown }: { node: string; history: History; shown: Span }) {
  const asked = useAsk(`stats ${node}`, async (signal) => {
    const rows = await get<Stats[]>("stats/", {}, signal);
    return node ? rows.filter((row) => row.node === node) : rows;
  }, { every: 5, keep: true });
  const reasons = useSignal("");
  // By reason, since the nodes' start; asked for when somebody looks.
  const askReasons = (): void => void get<{ node: string; metrics: Record<string, number> }[]>("metrics/").then((all) => {
    const counters = all.filter((row) => !node || row.node === node).flatMap((row) => Object.entries(row.metrics)
      .filter(([name, value]) => name.startsWith("dropped/") && value > 0));
    const names = [...new Set(counters.map(([name]) => name))];
    reasons.value = names.length ? t("overview.reasons", { list: names.map((name) =>
      `${name.slice("dropped/".length)} ${number(counters.filter(([one]) => one === name).reduce((sum, [, value]) => sum + value, 0))}`).join(" · ") }) : "";
  }, complain);
  const lost = total(history, "dropped", SPANS[shown] <= 3600 ? 1 : 60);
  return <States asked={asked} lines={2}>{(rows) => {
    const sum = (name: string): number => rows.reduce((all, row) => all + (row[name] ?? 0), 0);
    const away = Math.max(0, sum("sessions/count") - sum("connections/count"));
    const figures: { key: string; to: string; title: string; value: number; note?: string }[] = [
      { key: "connections", to: href("clients"), title: t("overview.connections"), value: sum("connections/count"),
        note: t("overview.most", { n: sum("connections/max") }) },
      { key: "sessions", to: href("sessions"), title: t("overview.sessions"), value: sum("sessions/count"), note: t("overview.away", { n: away }) },
      { key: "subscriptions", to: href("subscriptions"), title: t("overview.subscriptions"), value: sum("subscriptions/count"),
        note: t("overview.shared", { n: sum("subscriptions/shared/count") }) },
      { key: "topics", to: href("topics"), title: t("overview.topics"), value: sum("topics/count"), note: t("overview.most", { n: sum("topics/max") }) },
      { key: "retained", to: href("topics"), title: t("overview.retained"), value: sum("retained/count"), note: t("overview.most", { n: sum("retained/max") }) },
      { key: "lost", to: href("slow"), title: t("overview.lost", { span: t(`overview.span.${shown}`) }), value: lost,
        note: t("overview.slow", { n: sum("connections/slow/count") }) },
    ];
    return <div class="sheet figures">{figures.map(({ key, to, title, value, note }) => <a key={key} href={to} title={key === "lost" ? reasons.value || undefined : undefined}
      onPointerEnter={key === "lost" ? askReasons : undefined} onFocus={key === "lost" ? askReasons : undefined}>
      <span class="label">{title}</span><b class={key === "lost" && value > 0 ? "bad" : undefined}>{figure(value)}</b>
      <span class="label">{note}</span></a>)}</div>;
  }}</States>;
}

function Alarms() {
  return <section class="sheet"><header><h2>{t("place.alarms")}</h2></header><div class="body">
    {standing.value.map((alarm) => <div class="row" key={`${alarm.node} ${alarm.id}`}>
      <span class={alarm.severity === "notice" ? "quiet" : alarm.severity === "warning" ? "warn" : "bad"}>▲ {known("severity", alarm.severity)}</span>
      <code>{alarm.id}</code> <span>{alarm.summary}</span>
      <span class="quiet">{t("overview.since", { at: alarm.timestamp_ts ? when(alarm.timestamp_ts) : alarm.timestamp })} · {alarm.node}</span>
    </div>)}
  </div></section>;
}

const TRAFFIC_S = 300;

function Nodes({ node }: { node: string }) {
  const ofRunning = (cell: (row: NodeRow) => string) => (row: NodeRow): string => (row.node_status === "Running" ? cell(row) : "–");
  const asked = useAsk(`nodes ${node}`, async (signal) => {
    const [rows, stats, rates] = await Promise.all([get<ListedNodeRow[]>("nodes/", {}, signal), get<Stats[]>("stats/", {}, signal),
      get<NodeRates[]>("rates/seconds", { first: Math.floor(Date.now() / 1000) - TRAFFIC_S }, signal)]);
    return rows.filter((row) => !node || row.name === node).map((row): NodeRow => ({ ...row,
      files: stats.find((one) => one.node === row.name)?.["descriptors/open"],
      rates: rates.find((one) => one.node === row.name)?.rates ?? [] }));
  }, { every: 5, keep: true });
  const columns: Column<NodeRow>[] = [
    { id: "name", title: t("overview.node"), cell: (row) => <a href={href("nodes", { node: row.name })}><Id>{row.name}</Id></a> },
    { id: "state", title: t("overview.state"), cell: (row) => <span class={row.node_status === "Running" ? "good" : "bad"}>● {known("node", row.node_status)}</span> },
    { id: "uptime", title: t("overview.uptime"), cell: ofRunning((row) => span(row.uptime_s)) },
    { id: "connections", title: t("overview.connections"), number: true, cell: ofRunning((row) => t("overview.of", { n: row.connections, most: row.max_connections })) },
    { id: "traffic", title: t("overview.traffic"), cell: ({ rates }) => rates.length > 0 && <span class="row traffic">
      <Spark values={rates.map((one) => one.sent)} /> <code>{figure(rates.at(-1)!.received)} / {figure(rates.at(-1)!.sent)}</code></span> },
    { id: "load", title: t("overview.load"), number: true, cell: ofRunning((row) => row.load1) },
    { id: "memory", title: t("overview.memory"), number: true, cell: ofRunning((row) => `${bytes(row.memory_used)} / ${bytes(row.memory_total)}`) },
    { id: "files", title: t("overview.files"), number: true, cell: ofRunning((row) => (row.files === undefined ? number(row.max_fds)
      : t("overview.of", { n: row.files, most: row.max_fds }))) },
    { id: "lag", title: t("overview.lag"), number: true, cell: ofRunning((row) => `${number(row.hub_lag_ms, 1)} ms`) },
  ];
  return <section class="stack" style={{ gap: "4px" }}><h2>{t("overview.nodes")}</h2>
    <States asked={asked} lines={2}>{(rows) => <Table caption={t("overview.nodes")} rows={rows} columns={columns} rowKey={(row) => row.name} />}</States>
  </section>;
}

const SHOWN = 5;

function Refusals({ node }: { node: string }) {
  const rows = refusals.value.filter((row) => !node || row.node === node).reverse().slice(0, SHOWN);
  return <section class="sheet"><header><h2>{t("overview.refused")}</h2><a href={href("events")}>{t("overview.events")}</a></header>
    <div class="body">{rows.length === 0
      ? <span class="quiet">{t(liveState.value === "live" ? "overview.none-refused" : "overview.not-listening")}</span>
      : rows.map((row) => <div class="row" key={`${row.node} ${row.code} ${row.client_id}`}>
        {rich("overview.refusal", { client: <a href={href("client", { id: row.client_id, tab: "why" })}><Id>{row.client_id}</Id></a>,
          reason: known("connack", String(row.code)), times: number(row.times), at: clock(row.ts) })}</div>)}
    </div></section>;
}
