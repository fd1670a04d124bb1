/** A client of MQTT 3.1.1 and 5 over WebSocket, several at a time. They stay connected while the window is open. */
import { signal, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { Dialog } from "../parts/dialog";
import { Heading } from "../parts/heading";
import { Icon } from "../parts/icon";
import { Payload } from "../parts/payload";
import { asText } from "../parts/payload-views";
import { Table, type Column } from "../parts/table";
import { complain } from "../parts/toast";
import { Topic } from "../parts/topic";
import { session, type WebSocketListener } from "../session";
import type { Kept } from "../tail";
import { t } from "../text";
import { bytes, clock } from "../time";
import { Connection, type Message, type Settings } from "./mqtt/connection";

const all = signal<readonly Connection[]>([]);
const shown = signal(0);
let last = 0;

const urlOf = ({ tls, port, path }: WebSocketListener): string => `${tls ? "wss" : "ws"}://${location.hostname}:${port}${path}`;

function add(): void {
  const listeners = session.value?.websockets ?? [];
  const fit = listeners.find((one) => one.tls === (location.protocol === "https:")) ?? listeners[0];
  const settings: Settings = { url: fit ? urlOf(fit) : "", version: 5, clientId: `dashboard-${Math.random().toString(36).slice(2, 10)}`,
    username: "", password: "", clean: true, keepalive: 60 };
  all.value = [...all.value, new Connection(++last, settings)];
  shown.value = last;
}

export default function Mqtt() {
  if (!all.value.length) add();
  const current = all.value.find((one) => one.number === shown.value) ?? all.value[0]!;
  const close = (): void => {
    current.disconnect();
    all.value = all.value.filter((one) => one !== current);
    shown.value = all.value[0]?.number ?? 0;
  };
  return <>
    <Heading title={t("place.mqtt")}>
      <div class="segments" role="group" aria-label={t("mqtt.clients")}>{all.value.map((one) =>
        <button key={one.number} aria-pressed={one === current} onClick={() => (shown.value = one.number)}>
          {one.state.value === "connected" ? "● " : "○ "}<span class="mono">{one.settings.value.clientId.slice(0, 24) || one.number}</span></button>)}
      </div>
      <button onClick={add}><Icon name="plus" /> {t("mqtt.another")}</button>
      {all.value.length > 1 && <button onClick={close}>{t("mqtt.close")}</button>}
    </Heading>
    {session.value?.websockets?.length ? <Client key={current.number} connection={current} />
      : <div class="sheet state-box">{t("mqtt.no-listener")}</div>}
  </>;
}

function Client({ connection }: { connection: Connection }) {
  const state = connection.state.value;
  return <div class="stack">
    <Connect connection={connection} />
    {state === "connected" && <><Subscribe connection={connection} /><Publish connection={connection} /></>}
    <Messages connection={connection} />
  </div>;
}

function Connect({ connection }: { connection: Connection }) {
  const { value: settings } = connection.settings;
  const state = connection.state.value;
  const set = (change: Partial<Settings>): void => void (connection.settings.value = { ...settings, ...change });
  const isApart = state === "apart";
  return <form class="sheet" onSubmit={(event) => {
    event.preventDefault();
    if (isApart) connection.connect().catch(complain);
    else connection.disconnect();
  }}><div class="body row">
    <select class="mono" aria-label={t("mqtt.listener")} disabled={!isApart} value={settings.url} onChange={(event) => set({ url: event.currentTarget.value })}>
      {session.value!.websockets!.map((one) => <option key={one.name} value={urlOf(one)}>{urlOf(one)}</option>)}</select>
    <select aria-label={t("mqtt.version")} disabled={!isApart} value={settings.version} onChange={(event) => set({ version: Number(event.currentTarget.value) as 4 | 5 })}>
      <option value={4}>MQTT 3.1.1</option><option value={5}>MQTT 5</option></select>
    <input class="mono" aria-label={t("mqtt.client-id")} placeholder={t("mqtt.client-id")} disabled={!isApart} value={settings.clientId}
      onInput={(event) => set({ clientId: event.currentTarget.value })} />
    <input class="mono" aria-label={t("mqtt.username")} placeholder={t("mqtt.username")} autoComplete="off" disabled={!isApart} value={settings.username}
      onInput={(event) => set({ username: event.currentTarget.value })} />
    <input type="password" aria-label={t("mqtt.password")} placeholder={t("mqtt.password")} autoComplete="new-password" disabled={!isApart} value={settings.password}
      onInput={(event) => set({ password: event.currentTarget.value })} />
    <label>{t("mqtt.keepalive")} <input type="number" min={0} max={65535} disabled={!isApart} value={settings.keepalive}
      onInput={(event) => set({ keepalive: Number(event.currentTarget.value) })} /></label>
    <label><input type="checkbox" disabled={!isApart} checked={settings.clean} onChange={(event) => set({ clean: event.currentTarget.checked })} /> {t("mqtt.clean")}</label>
    <button class={isApart ? "main" : undefined}>{t(isApart ? "mqtt.connect" : "mqtt.disconnect")}</button>
    <span role="status" class={state === "connected" ? "good" : connection.said.value ? "bad" : "quiet"}>
      {connection.said.value || t(`mqtt.state.${state}`)}</span>
  </div></form>;
}

const QOS = [0, 1, 2] as const;
type Level = (typeof QOS)[number];

function QosOf({ value, set }: { value: Level; set: (value: Level) => void }) {
  return <select aria-label="QoS" value={value} onChange={(event) => set(Number(event.currentTarget.value) as Level)}>
    {QOS.map((one) => <option key={one} value={one}>QoS {one}</option>)}</select>;
}

function Subscribe({ connection }: { connection: Connection }) {
  const filter = useSignal("");
  const qos = useSignal<Level>(0);
  return <div class="row">
    <form class="row" onSubmit={(event) => {
      event.preventDefault();
      connection.subscribe(filter.value, qos.value).then(() => (filter.value = ""), complain);
    }}>
      <input class="mono" required size={28} aria-label={t("mqtt.filter")} placeholder={t("mqtt.filter")} value={filter.value} spellcheck={false}
        onInput={(event) => (filter.value = event.currentTarget.value)} />
      <QosOf value={qos.value} set={(level) => (qos.value = level)} />
      <button>{t("mqtt.subscribe")}</button>
    </form>
    {connection.filters.value.map((one) => <span class="row" key={one.filter}><Topic>{one.filter}</Topic> QoS {one.qos}
      <button class="plain" aria-label={t("mqtt.unsubscribe", { filter: one.filter })} title={t("mqtt.unsubscribe", { filter: one.filter })}
        onClick={() => void connection.unsubscribe(one.filter).catch(complain)}><Icon name="close" /></button></span>)}
  </div>;
}

function Publish({ connection }: { connection: Connection }) {
  const topic = useSignal("");
  const payload = useSignal("");
  const qos = useSignal<Level>(0);
  const retain = useSignal(false);
  return <form class="row" onSubmit={(event) => {
    event.preventDefault();
    connection.publish(topic.value, payload.value, qos.value, retain.value).catch(complain);
  }}>
    <input class="mono" required size={28} aria-label={t("mqtt.topic")} placeholder={t("mqtt.topic")} value={topic.value} spellcheck={false}
      onInput={(event) => (topic.value = event.currentTarget.value)} />
    <input class="mono" size={36} aria-label={t("mqtt.payload")} placeholder={t("mqtt.payload")} value={payload.value} spellcheck={false}
      onInput={(event) => (payload.value = event.currentTarget.value)} />
    <QosOf value={qos.value} set={(level) => (qos.value = level)} />
    <label><input type="checkbox" checked={retain.value} onChange={(event) => (retain.value = event.currentTarget.checked)} /> {t("mqtt.retain")}</label>
    <button>{t("mqtt.publish")}</button>
  </form>;
}

function beginning(payload: Uint8Array<ArrayBuffer>): string {
  const text = asText(payload.slice(0, 200));
  return text ?? bytes(payload.length);
}

function Messages({ connection: { messages } }: { connection: Connection }) {
  const opened = useSignal<Message | null>(null);
  const rows = messages.shown.value;
  const columns = useMemo((): Column<Kept<Message>>[] => [
    { id: "ts", title: t("mqtt.at"), cell: ({ value }) => clock(value.ts) },
    { id: "direction", title: t("mqtt.direction"), cell: ({ value }) => t(`mqtt.direction.${value.direction}`) },
    { id: "topic", title: t("mqtt.topic"), cell: ({ value }) => <Topic>{value.topic}</Topic>, hint: ({ value }) => value.topic },
    { id: "qos", title: "QoS", number: true, cell: ({ value }) => value.qos },
    { id: "retain", title: t("mqtt.retain"), cell: ({ value }) => (value.retain ? "✓" : "") },
    { id: "size", title: t("mqtt.size"), number: true, cell: ({ value }) => bytes(value.payload.length) },
    { id: "payload", title: t("mqtt.payload"), cell: ({ value }) => <button class="link" onClick={() => (opened.value = value)}><code>{beginning(value.payload)}</code></button> },
  ], []);
  return <>
    <div class="row"><button aria-pressed={messages.held.value} onClick={() => messages.hold(!messages.held.value)}>
      {t(messages.held.value ? "tail.go-on" : "tail.hold")}</button>
      <button onClick={() => messages.clear()}>{t("tail.clear")}</button>
      {messages.waiting.value > 0 && <span class="quiet">{t("tail.waiting", { n: messages.waiting.value })}</span>}
      {messages.forgotten.value > 0 && <span class="quiet">{t("tail.forgotten", { n: messages.forgotten.value })}</span>}</div>
    {rows.length ? <Table caption={t("mqtt.messages")} rows={rows} columns={columns} rowKey={(row) => String(row.number)} onOpen={({ value }) => (opened.value = value)} />
      : <div class="sheet state-box">{t("mqtt.none")}</div>}
    {opened.value && <Dialog title={t("mqtt.payload")} close={() => (opened.value = null)}>
      <p><Topic>{opened.value.topic}</Topic></p><Payload bytes={opened.value.payload} topic={opened.value.topic} />
      <div class="actions"><button class="main" onClick={() => (opened.value = null)}>{t("confirm.close")}</button></div>
    </Dialog>}
  </>;
}
