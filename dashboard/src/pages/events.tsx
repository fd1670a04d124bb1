/** What comes, goes and is refused, as it happens. */
import { useEffect, useMemo } from "preact/hooks";
import { listen, liveState, paused } from "../live";
import { Heading } from "../parts/heading";
import { Table, type Column } from "../parts/table";
import { chosenOf, TailBar } from "../parts/tail-bar";
import { ClientLink, Id, Topic } from "../parts/topic";
import { Tail, type Kept } from "../tail";
import { known, t } from "../text";
import { clock } from "../time";
import { href, param, setParams } from "../url";

const KINDS = ["connected", "refused", "disconnected", "subscribed", "unsubscribed", "denied", "alarm_raised", "alarm_cleared"] as const;
type Kind = (typeof KINDS)[number];
interface News {
  event: Kind;
  node: string;
  ts: number;
  client_id?: string;
  username?: string | null;
  ipaddress?: string;
  port?: number;
  proto_ver?: number;
  code?: number;
  reason?: string;
  topic?: string;
  qos?: number;
  id?: string;
  summary?: string;
}
const BAD: readonly Kind[] = ["refused", "denied", "alarm_raised"];

export default function Events() {
  const tail = useMemo(() => new Tail<News>(), []);
  const without = new Set(param("without").split(","));
  const kinds = KINDS.filter((kind) => !without.has(kind));
  const key = kinds.join();
  useEffect(() => {
    const ends = kinds.map((kind) => listen<Omit<News, "event">>(kind, (news) => tail.put({ event: kind, ...news }, 200)));
    return () => ends.forEach((end) => end());
  }, [key]);
  const toggle = (kind: Kind): void => {
    if (!without.delete(kind)) without.add(kind);
    setParams({ without: KINDS.filter((one) => without.has(one)).join() }, { step: true });
  };
  const node = param("node");
  const rows = chosenOf(tail).filter(({ value }) => !node || value.node === node);
  const columns: Column<Kept<News>>[] = [
    { id: "ts", title: t("events.at"), cell: ({ value }) => clock(value.ts) },
    { id: "event", title: t("events.what"), cell: ({ value }) => <span class={BAD.includes(value.event) ? "bad" : undefined}>{known("event", value.event)}</span> },
    { id: "client", title: t("events.client"), cell: ({ value }) => value.client_id === undefined ? "" : <ClientLink id={value.client_id} /> },
    { id: "user", title: t("events.user"), cell: ({ value }) => value.username === undefined ? "" : <Id>{value.username}</Id> },
    { id: "more", title: t("events.more"), cell: ({ value }) => <More news={value} />, hint: ({ value }) => value.topic ?? value.summary ?? "" },
    { id: "node", title: t("events.node"), cell: ({ value }) => <Id>{value.node}</Id> },
  ];
  return <>
    <Heading title={t("place.events")} />
    <div class="stack">
      <div class="row" role="group" aria-label={t("events.kinds")}>{KINDS.map((kind) => <label key={kind}>
        <input type="checkbox" checked={!without.has(kind)} onChange={() => toggle(kind)} /> {known("event", kind)}</label>)}</div>
      <TailBar tail={tail} file="events.jsonl" />
      {(liveState.value === "lost" || paused.value) && <div class="state-line" role="status">{t(paused.value ? "events.paused" : "events.lost")}</div>}
      {rows.length > 0 ? <Table caption={t("place.events")} rows={rows} columns={columns} rowKey={(row) => String(row.number)} />
        : <div class="sheet state-box">{t(tail.shown.value.length ? "events.no-words" : "events.none")}</div>}
    </div>
  </>;
}

function More({ news }: { news: News }) {
  if (news.topic !== undefined) return <>
    <Topic>{news.topic}</Topic>{news.qos !== undefined && ` · QoS ${news.qos}`}
    {news.event === "denied" && <>{" "}<a href={href("explain", { topic: news.topic, client_id: news.client_id })}>{t("events.why")}</a></>}
  </>;
  if (news.code !== undefined) return <>{known("connack", String(news.code))}</>;
  if (news.summary !== undefined) return <a href={href("alarms", { id: news.id })}><code>{news.id}</code> {news.summary}</a>;
  if (news.ipaddress !== undefined) return <><code>{news.ipaddress}:{news.port}</code> · MQTT {({ 3: "3.1", 4: "3.1.1", 5: "5.0" } as Record<number, string>)[news.proto_ver ?? 0] ?? news.proto_ver}</>;
  return <>{news.reason}</>;
}
