/** A trace that runs: started and stopped here, its steps as they come, payloads for operators. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Failure, type Params } from "../api";
import { readEvents } from "../server-events";
import { may } from "../session";
import { Tail, type Kept } from "../tail";
import { known, t } from "../text";
import { bytes, clock, now, span } from "../time";
import { param, setParams } from "../url";
import { Dialog } from "./dialog";
import { Payload } from "./payload";
import { fromBase64 } from "./payload-views";
import { Table, type Column } from "./table";
import { chosenOf, TailBar } from "./tail-bar";
import { ClientLink, Topic } from "./topic";

interface Step {
  event: string;
  ts: number;
  client_id?: string | null;
  publisher?: string;
  topic?: string;
  qos?: number;
  retain?: boolean;
  payload_bytes?: number;
  /** In base64; the beginning of the payload. */
  payload?: string;
  reason?: string;
  code?: number;
  messages?: number;
}

const SECONDS = [60, 300, 900, 3600];
const PAYLOAD_BYTES = 4096;
const MOST_BYTES = 64 << 20;
const BAD: readonly string[] = ["dropped", "denied", "refused"];
const LATE: readonly string[] = ["queued", "skipped"];

interface Props {
  /** `topic` or `client_id`, when it starts. */
  question: () => Params;
  /** What stands before the other fields. */
  children?: (isRunning: boolean) => ComponentChildren;
}

export function Tracing({ question, children }: Props) {
  const tail = useMemo(() => new Tail<Step>(), []);
  const seconds = Number(param("seconds")) || SECONDS[0]!;
  const withPayloads = useSignal(may("operator"));
  const running = useSignal(0);
  const said = useSignal<{ text: string; bad: boolean } | null>(null);
  const stop = useRef<AbortController | null>(null);
  const opened = useSignal<Step | null>(null);
  useEffect(() => () => stop.current?.abort(), []);

  const start = async (): Promise<void> => {
    const mine = new AbortController();
    stop.current = mine;
    tail.clear();
    tail.hold(false);
    said.value = null;
    running.value = Date.now() / 1000;
    let why = "lost";
    try {
      await readEvents("trace", { ...question(), seconds, max_bytes: MOST_BYTES,
        payload_bytes: withPayloads.value ? PAYLOAD_BYTES : undefined }, mine.signal, (event, news, size) => {
        if (event === "end") why = (news as { reason: string }).reason;
        else tail.put({ event, ...(news as Omit<Step, "event">) }, size);
      });
      said.value = { text: t(`trace.end.${why === "time" || why === "bytes" || why === "stopped" ? why : "lost"}`), bad: why === "lost" };
    } catch (error) {
      said.value = mine.signal.aborted ? { text: t("trace.end.stopped"), bad: false }
        : { text: error instanceof Failure ? error.message : t("trace.end.lost"), bad: true };
    }
    if (stop.current === mine) running.value = 0;
  };
  const isRunning = running.value > 0;
  const rows = chosenOf(tail);
  const columns: Column<Kept<Step>>[] = [
    { id: "ts", title: t("trace.at"), cell: ({ value }) => `${clock(value.ts)}.${String(Math.floor((value.ts % 1) * 1000)).padStart(3, "0")}` },
    { id: "event", title: t("trace.step"), cell: ({ value }) => <span class={BAD.includes(value.event) ? "bad" : LATE.includes(value.event) ? "warn" : undefined}>
      {known("event", value.event)}</span> },
    { id: "publisher", title: t("trace.publisher"), cell: ({ value }) => value.publisher ? <ClientLink id={value.publisher} /> : "" },
    { id: "client", title: t("trace.recipient"), cell: ({ value }) => value.client_id ? <ClientLink id={value.client_id} /> : "" },
    { id: "topic", title: t("trace.topic"), cell: ({ value }) => value.topic === undefined ? "" : <Topic linked>{value.topic}</Topic>, hint: ({ value }) => value.topic ?? "" },
    { id: "qos", title: "QoS", number: true, cell: ({ value }) => value.qos ?? "" },
    { id: "size", title: t("trace.payload"), number: true, cell: ({ value }) => value.payload_bytes === undefined ? ""
      : value.payload === undefined ? bytes(value.payload_bytes)
        : <button class="link" aria-label={t("trace.open", { size: bytes(value.payload_bytes) })} onClick={() => (opened.value = value)}>{bytes(value.payload_bytes)}</button> },
    { id: "why", title: t("trace.why"), cell: ({ value }) => value.code !== undefined ? known("connack", String(value.code))
      : value.messages !== undefined ? t("trace.skipped", { n: value.messages }) : <>{value.reason}{value.retain ? ` ${t("trace.retained")}` : ""}</> },
  ];
  return <div class="stack">
    <form class="row" onSubmit={(event) => {
      event.preventDefault();
      if (isRunning) stop.current?.abort();
      else void start();
    }}>
      {children?.(isRunning)}
      <select aria-label={t("trace.for")} disabled={isRunning} value={seconds} onChange={(event) => setParams({ seconds: event.currentTarget.value })}>
        {SECONDS.map((one) => <option key={one} value={one}>{span(one)}</option>)}</select>
      {may("operator") && <label><input type="checkbox" disabled={isRunning} checked={withPayloads.value}
        onChange={(event) => (withPayloads.value = event.currentTarget.checked)} /> {t("trace.with-payloads")}</label>}
      <button class="main">{t(isRunning ? "trace.stop" : "trace.start")}</button>
      {isRunning ? <span class="good">● {t("trace.left", { span: span(running.value + seconds - now.value) })}</span>
        : said.value && <span role="status" class={said.value.bad ? "bad" : "quiet"}>{said.value.text}</span>}
    </form>
    {(isRunning || tail.shown.value.length > 0) && <TailBar tail={tail} file="trace.jsonl" />}
    {rows.length > 0 ? <Table caption={t("trace.steps")} rows={rows} columns={columns} rowKey={(row) => String(row.number)}
      onOpen={({ value }) => value.payload !== undefined && (opened.value = value)} />
      : <div class="sheet state-box">{t(!isRunning ? "trace.idle" : tail.shown.value.length ? "trace.no-words" : "trace.nothing-yet")}</div>}
    {opened.value && <Opened step={opened.value} close={() => (opened.value = null)} />}
  </div>;
}

function Opened({ step, close }: { step: Step; close: () => void }) {
  const payload = useMemo(() => fromBase64(step.payload ?? ""), [step]);
  return <Dialog title={t("trace.payload")} close={close} className="record">
    <p><Topic>{step.topic ?? ""}</Topic></p>
    {payload.length < (step.payload_bytes ?? 0) && <p class="warn">{t("trace.cut", { shown: bytes(payload.length), size: bytes(step.payload_bytes!) })}</p>}
    <Payload bytes={payload} topic={step.topic} />
    <div class="actions"><button class="main" onClick={close}>{t("confirm.close")}</button></div>
  </Dialog>;
}
