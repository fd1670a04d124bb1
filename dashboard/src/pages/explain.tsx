/** Who would get a message to a topic, who refuses it and by which rule; nothing is sent to find out. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get, post, type Page } from "../api";
import { Dialog } from "../parts/dialog";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { ClientLink, Id, Topic } from "../parts/topic";
import { useAsk } from "../refresh";
import { may } from "../session";
import { known, t } from "../text";
import { go, href, param, setParams } from "../url";

interface Publisher { client_id: string; allowed: boolean; by: string; cached: boolean | null }
interface Recipient {
  client_id: string;
  filters: string[];
  group: string | null;
  qos: number;
  outcome: "delivered" | "queued" | "dropped" | "candidate";
  reason: string;
  allowed: boolean | null;
  by: string;
}
interface Explanation { topic: string; publisher: Publisher | null; reaches: string; count: number; recipients: Recipient[] }

const OUTCOMES = ["delivered", "queued", "dropped", "candidate"] as const;
const SIGNS = { delivered: "✓", queued: "◷", dropped: "✗", candidate: "◌" } as const;
const COLORS = { delivered: "good", queued: "warn", dropped: "bad", candidate: "quiet" } as const;

export default function Explain() {
  const topic = param("topic"), from = param("client_id"), qos = Number(param("qos")) || 0;
  const typed = useSignal(topic);
  const sender = useSignal(from);
  const asks = useSignal(0);
  const publishes = useSignal(false);
  useEffect(() => {
    typed.value = topic;
    sender.value = from;
  }, [topic, from]);
  return <>
    <Heading title={t("place.explain")} />
    <div class="stack">
      <form class="row" onSubmit={(event) => {
        event.preventDefault();
        asks.value++;
        setParams({ topic: typed.value, client_id: sender.value }, { step: true });
      }}>
        <label class="row"><span class="label">{t("explain.topic")}</span>
          <input class="mono" size={36} required value={typed.value} spellcheck={false} onInput={(event) => (typed.value = event.currentTarget.value)} /></label>
        <label class="row"><span class="label">{t("explain.from")}</span>
          <input class="mono" value={sender.value} spellcheck={false} placeholder={t("explain.anybody")}
            onInput={(event) => (sender.value = event.currentTarget.value)} /></label>
        <div class="segments" role="group" aria-label="QoS">{[0, 1, 2].map((one) =>
          <button key={one} type="button" aria-pressed={qos === one} onClick={() => setParams({ qos: one || "" }, { step: true })}>QoS {one}</button>)}</div>
        <button class="main">{t("explain.ask")}</button>
        {may("operator") && topic && <button type="button" onClick={() => (publishes.value = true)}>{t("explain.publish")}</button>}
      </form>
      {topic ? <Answer key={asks.value} topic={topic} from={from} qos={qos} /> : <p class="quiet">{t("explain.nothing-asked")}</p>}
    </div>
    {publishes.value && <Publish topic={topic} from={from} qos={qos} close={() => (publishes.value = false)} />}
  </>;
}

function Answer({ topic, from, qos }: { topic: string; from: string; qos: number }) {
  const asked = useAsk(JSON.stringify([topic, from, qos]), (signal) =>
    get<Explanation>("explain/", { topic, client_id: from || undefined, qos }, signal));
  return <States asked={asked}>{(found) => {
    const { publisher } = found;
    const passes = publisher === null || (publisher.cached ?? publisher.allowed);
    return <>
      {from && (publisher
        ? <p><span class="label">{t("explain.publisher")}</span> <ClientLink id={publisher.client_id} />{" "}
          <span class={passes ? "good" : "bad"}>{passes ? `✓ ${t("explain.may-publish")}` : `✗ ${t("explain.may-not-publish")}`}</span> {publisher.by}
          {publisher.cached !== null && <span class="quiet"> · {t("explain.cached")}</span>}</p>
        : <p class="warn">{t("explain.not-connected")} <ClientLink id={from} /></p>)}
      {found.topic !== topic && <p>{t("explain.mounted")} <Topic>{found.topic}</Topic></p>}
      {passes && <WhyNot topic={topic} />}
      {passes && (found.count > 0 ? <Reached found={found} /> : <Nobody topic={found.topic} reaches={found.reaches} />)}
    </>;
  }}</States>;
}

function Reached({ found: { count, recipients } }: { found: Explanation }) {
  const columns: Column<Recipient>[] = [
    { id: "client", title: t("explain.client"), cell: (row) => <ClientLink id={row.client_id} /> },
    { id: "filter", title: t("explain.filter"), cell: (row) => row.filters.map((one) => <Topic key={one} linked>{one}</Topic>), hint: (row) => row.filters.join("\n") },
    { id: "group", title: t("explain.group"), cell: (row) => <Id>{row.group}</Id> },
    { id: "qos", title: "QoS", number: true, cell: (row) => row.qos },
    { id: "outcome", title: t("explain.outcome"), cell: (row) => <span class={COLORS[row.outcome]}>{SIGNS[row.outcome]} {t(`explain.outcome.${row.outcome}`)}</span> },
    { id: "why", title: t("explain.why"), cell: (row) => known("explain.reason", row.reason), hint: (row) => row.reason },
    { id: "may", title: t("explain.may-subscribe"), cell: (row) => row.allowed === null ? <span class="quiet">–</span>
      : <span class={row.allowed ? "good" : "bad"}>{row.allowed ? "✓" : "✗"} {row.by}</span>, hint: (row) => row.by },
  ];
  return <>
    <p class="row"><b>{t("explain.reaches", { n: count })}</b>
      {OUTCOMES.map((one) => <span key={one} class={COLORS[one]}>{SIGNS[one]} {t(`explain.outcome.${one}`)} {recipients.filter((row) => row.outcome === one).length}</span>)}
      {count > recipients.length && <span class="warn">{t("explain.part", { n: recipients.length })}</span>}</p>
    <Table caption={t("explain.recipients")} rows={recipients} columns={columns} rowKey={(row) => JSON.stringify([row.client_id, row.group])} />
  </>;
}

/** Somebody is expected among the recipients and is not there. */
function WhyNot({ topic }: { topic: string }) {
  const id = useSignal("");
  return <form class="row" onSubmit={(event) => {
    event.preventDefault();
    go("client", { id: id.value, tab: "why", topic });
  }}>
    <label class="row"><span class="label">{t("explain.missing")}</span>
      <input class="mono" required value={id.value} spellcheck={false} placeholder={t("explain.client")} onInput={(event) => (id.value = event.currentTarget.value)} /></label>
    <button>{t("explain.why-not")}</button>
  </form>;
}

function Nobody({ topic, reaches }: { topic: string; reaches: string }) {
  const near = useSignal<Page<{ topic: string }> | null>(null);
  const below = topic.split("/").slice(0, -1).join("/");
  return <div class="sheet state-box">
    <p>{known("explain.reaches", reaches)} {t("explain.check")}</p>
    {near.value === null
      ? <button onClick={() => get<Page<{ topic: string }>>("routes/", { _like_topic: below ? `${below}/` : topic, _limit: 50 })
        .then((page) => (near.value = page), complain)}>{t("explain.near")}</button>
      : near.value.items.length === 0 ? <p>{t("explain.none-near")}</p>
        : <ul>{[...new Set(near.value.items.map((row) => row.topic))].map((one) => <li key={one}>
          <a href={href("subscriptions", { _match_topic: one })}><Topic>{one}</Topic></a></li>)}</ul>}
  </div>;
}

function Publish({ topic, from, qos, close }: { topic: string; from: string; qos: number; close: () => void }) {
  const payload = useSignal("");
  const retain = useSignal(false);
  return <Dialog title={t("explain.publish-title")} close={close}>
    <form onSubmit={(event) => {
      event.preventDefault();
      post("mqtt/publish", { topics: [topic], payload: payload.value, qos, retain: retain.value, client_id: from || undefined })
        .then(() => {
          toast(t("explain.published"));
          close();
        }, complain);
    }}>
      <p><Topic>{topic}</Topic> · QoS {qos}</p>
      <label class="field"><span class="label">{t("explain.payload")}</span>
        <textarea class="mono" rows={4} value={payload.value} onInput={(event) => (payload.value = event.currentTarget.value)} /></label>
      <label><input type="checkbox" checked={retain.value} onChange={(event) => (retain.value = event.currentTarget.checked)} /> {t("explain.retain")}</label>
      <div class="actions"><button type="button" onClick={close}>{t("confirm.cancel")}</button><button class="main">{t("explain.publish-verb")}</button></div>
    </form>
  </Dialog>;
}
