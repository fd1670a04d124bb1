/** What a client does and what becomes of its messages, as it happens. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure } from "../../api";
import { events } from "../../event-stream";
import { save } from "../../parts/copy";
import { Table } from "../../parts/table";
import { Id, Topic } from "../../parts/topic";
import { known, t } from "../../text";
import { bytes, clock } from "../../time";

interface Seen { ts: number; client_id?: string | null; publisher?: string; topic?: string; qos?: number; payload_bytes?: number; reason?: string; messages?: number }
interface Line { id: number; kind: string; news: Seen }

const SECONDS = 60;
/** The latest are kept. */
const KEPT = 1000;

export function Trace({ id }: { id: string }) {
  const [lines, setLines] = useState<Line[]>([]);
  const [words, setWords] = useState("");
  const [failure, setFailure] = useState("");
  const [running, setRunning] = useState<AbortController | null>(null);
  const last = useRef(0);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);

  const start = async (): Promise<void> => {
    const mine = new AbortController();
    stop.current = mine;
    setRunning(mine);
    setFailure("");
    let waiting: Line[] = [];
    const drawn = setInterval(() => {
      if (!waiting.length) return;
      const added = waiting;
      waiting = [];
      setLines((before) => [...before, ...added].slice(-KEPT));
    }, 200);
    try {
      for await (const { kind, news } of events("trace", { client_id: id, seconds: SECONDS }, mine.signal))
        waiting.push({ id: ++last.current, kind, news: news as Seen });
    } catch (error) {
      if (!mine.signal.aborted) setFailure(error instanceof Failure ? error.message : String(error));
    } finally {
      clearInterval(drawn);
      setLines((before) => [...before, ...waiting].slice(-KEPT));
      setRunning((now) => (now === mine ? null : now));
    }
  };
  const shown = words ? lines.filter((line) => JSON.stringify(line).toLowerCase().includes(words.toLowerCase())) : lines;
  return <>
    <div class="row lead">
      {running ? <button onClick={() => running.abort()}>{t("client.trace-stop")}</button>
        : <button class="main" onClick={() => void start()}>{t("client.trace-start", { s: SECONDS })}</button>}
      {running && <span class="good" role="status">● {t("client.tracing")}</span>}
      <input type="search" aria-label={t("client.trace-filter")} placeholder={t("client.trace-filter")} value={words}
        onInput={(event) => setWords(event.currentTarget.value)} />
      <span class="spread" />
      {lines.length > 0 && <button onClick={() => save("trace.jsonl", shown.map(({ kind, news }) => JSON.stringify({ kind, ...news })).join("\n"),
        "application/jsonl")}>{t("client.trace-save")}</button>}
    </div>
    {failure && <div class="state-line bad" role="alert">{failure}</div>}
    {shown.length === 0 ? <div class="sheet state-box">{t(running ? "client.trace-waiting" : lines.length ? "client.trace-none" : "client.trace-empty")}</div>
      : <Table caption={t("client.tab.trace")} rows={shown} rowKey={(line) => String(line.id)} columns={[
        { id: "at", title: t("client.at"), cell: ({ news }) => <code>{clock(news.ts)}.{String(Math.floor((news.ts % 1) * 1000)).padStart(3, "0")}</code> },
        { id: "step", title: t("client.step"), cell: ({ kind }) => <span class={kind === "dropped" || kind === "refused" || kind === "denied" ? "bad" : undefined}>{known("step", kind)}</span> },
        { id: "topic", title: t("client.topic"), cell: ({ news }) => (news.topic === undefined ? "" : <Topic linked>{news.topic}</Topic>) },
        { id: "qos", title: "QoS", number: true, cell: ({ news }) => news.qos },
        { id: "size", title: t("client.size"), number: true, cell: ({ news }) => (news.payload_bytes === undefined ? "" : bytes(news.payload_bytes)) },
        { id: "from", title: t("client.from"), cell: ({ news }) => (news.publisher === undefined ? "" : <Id>{news.publisher}</Id>) },
        { id: "to", title: t("client.to"), cell: ({ news }) => (news.client_id === undefined || news.client_id === null ? "" : <Id>{news.client_id}</Id>) },
        { id: "reason", title: t("client.reason"), cell: ({ news }) => (news.messages === undefined ? news.reason : t("client.skipped", { n: news.messages })) },
      ]} />}
  </>;
}
