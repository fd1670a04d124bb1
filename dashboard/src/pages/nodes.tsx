/** The nodes: process and machine, memory and loop, listeners, counters. */
import { useSignal } from "@preact/signals";
import { get, post, put, seg } from "../api";
import { isCluster } from "../cluster";
import { confirm } from "../parts/confirm";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may, session } from "../session";
import { known, number, t } from "../text";
import { bytes, span, when } from "../time";
import { href, param } from "../url";
import { pluginRows } from "./plugins";

interface NodeRow {
  name: string;
  node_status: string;
  version: string;
  uptime_s: number;
  connections: number;
  max_connections: number;
  load1: string;
  load5: string;
  load15: string;
  max_fds: number;
  memory_used: number;
  memory_total: number;
  process_used: number;
  process_available: number;
  hub_lag_ms: number;
}

interface Listener { node: string; identifier: string; listen_on: string; protocol: string; current_conns: number; max_conns: number; running: boolean }
interface Collection { at: number; pause_ms: number; found: number }
interface Memory { rss: number; vms: number; gc_counts: number[]; gc_collections: number[]; gc_uncollectable: number; latest_collection: Collection | null }
interface Busy { hub_lag_ms: number; hub_lag_max_ms: number; greenlets: number; threads: number }

const isShown = (node: string): boolean => !param("node") || param("node") === node;

export default function Nodes() {
  return <>
    <Heading title={t("place.nodes")} />
    <div class="stack"><Processes /><Inside /><Listeners /><Counters /></div>
  </>;
}

function Processes() {
  const asked = useAsk(`nodes ${param("node")}`, async (signal) =>
    (await get<NodeRow[]>("nodes/", {}, signal)).filter((row) => isShown(row.name)), { every: 10, keep: true });
  const ofRunning = (cell: (row: NodeRow) => string) => (row: NodeRow): string => (row.node_status === "Running" ? cell(row) : "–");
  const columns: Column<NodeRow>[] = [
    { id: "name", title: t("nodes.node"), cell: (row) => <Id>{row.name}</Id> },
    { id: "state", title: t("nodes.state"), cell: (row) => <span class={row.node_status === "Running" ? "good" : "bad"}>● {known("node", row.node_status)}</span> },
    { id: "version", title: t("nodes.version"), cell: ofRunning((row) => row.version) },
    { id: "uptime", title: t("nodes.uptime"), cell: ofRunning((row) => span(row.uptime_s)) },
    { id: "connections", title: t("nodes.connections"), number: true, cell: ofRunning((row) => t("nodes.of", { n: row.connections, most: row.max_connections })) },
    { id: "load", title: t("nodes.load"), number: true, cell: ofRunning((row) => `${row.load1} ${row.load5} ${row.load15}`) },
    { id: "memory", title: t("nodes.memory"), number: true, cell: ofRunning((row) => `${bytes(row.memory_used)} / ${bytes(row.memory_total)}`) },
    { id: "threads", title: t("nodes.threads"), number: true, cell: ofRunning((row) => t("nodes.of", { n: row.process_used, most: row.process_available })) },
    { id: "files", title: t("nodes.files"), number: true, cell: ofRunning((row) => number(row.max_fds)) },
    { id: "lag", title: t("nodes.lag"), number: true, cell: ofRunning((row) => `${number(row.hub_lag_ms, 1)} ms`) },
  ];
  return <States asked={asked} lines={2}>{(rows) => <Table caption={t("place.nodes")} rows={rows} columns={columns} rowKey={(row) => row.name} />}</States>;
}

/** What emqx_recon tells of the node that answers. */
function Inside() {
  const asked = useAsk("recon", async (signal) => {
    const plugin = (await pluginRows(signal)).find((row) => row.name === "emqx_recon");
    if (!plugin?.active) return null;
    const [memory, busy] = await Promise.all([get<Memory>("recon/memory", {}, signal), get<Busy>("recon/node_stats", {}, signal)]);
    return { memory, busy };
  }, { every: 10, keep: true });
  const collect = (): void => void post<Collection>("recon/gc").then((done) => {
    toast(t("nodes.collected", { n: done.found, ms: number(done.pause_ms, 1) }));
    asked.again();
  }, complain);
  return <section class="sheet"><header><h2>{t("nodes.inside")}</h2>{isCluster.value && <Id>{session.value?.node}</Id>}<span class="spread" />
    {may("administrator") && asked.data && <button onClick={collect}>{t("nodes.collect")}</button>}</header>
  <div class="body"><States asked={asked} lines={2} isEmpty={(data) => data === null}
    empty={<>{t("nodes.no-recon")} <a href={href("plugin", { name: "emqx_recon" })}>emqx_recon</a></>}>{(data) => {
    const { memory, busy } = data!;
    const facts: [string, string][] = [
      [t("nodes.rss"), bytes(memory.rss)], [t("nodes.vms"), bytes(memory.vms)],
      [t("nodes.lag-now"), `${number(busy.hub_lag_ms, 1)} ms`], [t("nodes.lag-most"), `${number(busy.hub_lag_max_ms, 1)} ms`],
      [t("nodes.greenlets"), number(busy.greenlets)], [t("nodes.threads"), number(busy.threads)],
      [t("nodes.garbage"), memory.gc_counts.map((count) => number(count)).join(" · ")],
      [t("nodes.collections"), memory.gc_collections.map((count) => number(count)).join(" · ")],
      [t("nodes.latest"), memory.latest_collection
        ? `${when(memory.latest_collection.at)} · ${number(memory.latest_collection.pause_ms, 1)} ms` : "–"],
    ];
    return <dl class="readings">{facts.map(([name, value]) => <div key={name}><dt class="label">{name}</dt><dd>{value}</dd></div>)}</dl>;
  }}</States></div></section>;
}

function Listeners() {
  const asked = useAsk(`listeners ${param("node")}`, async (signal) =>
    (await get<{ node: string; listeners: Omit<Listener, "node">[] }[]>("listeners/", {}, signal))
      .filter((one) => isShown(one.node)).flatMap((one) => one.listeners.map((row) => ({ ...row, node: one.node }))), { every: 10, keep: true });
  const act = async (verb: "start" | "stop" | "restart", row: Listener): Promise<void> => {
    const name = row.identifier;
    if (verb !== "start" && !await confirm({ title: t(`nodes.${verb}-title`, { name }), danger: true, verb: t(`nodes.${verb}`),
      body: <p>{t(`nodes.${verb}-body`, { n: row.current_conns })}</p> })) return;
    await put(`listeners/${seg(name)}/${verb}`).then(() => toast(t(`nodes.${verb}-done`, { name })), complain);
    asked.again();
  };
  const columns: Column<Listener>[] = [
    { id: "identifier", title: t("nodes.listener"), cell: (row) => <Id>{row.identifier}</Id> },
    { id: "on", title: t("nodes.listens-on"), cell: (row) => <Id>{row.listen_on}</Id> },
    { id: "running", title: t("nodes.state"), cell: (row) => row.running ? <span class="good">● {t("nodes.accepts")}</span> : <span class="bad">○ {t("nodes.stopped")}</span> },
    { id: "connections", title: t("nodes.connections"), number: true, cell: (row) => t("nodes.of", { n: row.current_conns, most: row.max_conns }) },
    { id: "node", title: t("nodes.node"), cell: (row) => <Id>{row.node}</Id> },
    ...(may("administrator") ? [{ id: "acts", title: t("nodes.acts"), cell: (row: Listener) => row.node === session.value?.node && row.protocol.startsWith("mqtt:") && <span class="row">
      {(row.running ? ["restart", "stop"] as const : ["start"] as const).map((verb) => <button key={verb}
        aria-label={`${t(`nodes.${verb}`)} ${row.identifier}`} onClick={() => void act(verb, row)}>{t(`nodes.${verb}`)}</button>)}</span> }] : []),
  ];
  return <section class="stack tight"><h2>{t("nodes.listeners")}</h2><States asked={asked} lines={3}>{(rows) =>
    <Table caption={t("nodes.listeners")} rows={rows} columns={columns} rowKey={(row) => `${row.node} ${row.identifier}`} />}</States></section>;
}

/** By node: what is compared stands in one line. */
interface Counter { name: string; values: Readonly<Record<string, number>> }

function Counters() {
  const onlyUsed = useSignal(false);
  const asked = useAsk(`metrics ${param("node")}`, async (signal) =>
    (await get<{ node: string; metrics: Record<string, number> }[]>("metrics/", {}, signal)).filter((one) => isShown(one.node)),
  { every: 10, keep: true });
  const wanted = param("counter").toLowerCase();
  return <section class="stack tight"><div class="row"><h2>{t("nodes.counters")}</h2>
    <Filters filters={[{ name: "counter", label: t("nodes.counter") }]} />
    <label><input type="checkbox" checked={onlyUsed.value} onChange={(event) => (onlyUsed.value = event.currentTarget.checked)} /> {t("nodes.not-zero")}</label></div>
  <States asked={asked}>{(of) => {
    const all = [...new Set(of.flatMap((one) => Object.keys(one.metrics)))].map((name): Counter =>
      ({ name, values: Object.fromEntries(of.map((one) => [one.node, one.metrics[name] ?? 0])) }));
    const rows = all.filter((row) => row.name.toLowerCase().includes(wanted) && (!onlyUsed.value || Object.values(row.values).some(Boolean)));
    const columns: Column<Counter>[] = [
      { id: "name", title: t("nodes.counter"), cell: (row) => <Id>{row.name}</Id> },
      ...of.map(({ node }): Column<Counter> => ({ id: node, title: node, number: true, cell: (row) => number(row.values[node] ?? 0) })),
    ];
    return rows.length ? <Table caption={t("nodes.counters")} rows={rows} columns={columns} rowKey={(row) => row.name} />
      : <div class="sheet state-box">{t("nodes.no-counter")}</div>;
  }}</States></section>;
}
