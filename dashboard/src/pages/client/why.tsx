/** Why a client is refused, does not get a topic, or may not publish to it. */
import { useState } from "preact/hooks";
import { get, type Page } from "../../api";
import type { SlowSubscriberRow as Slow } from "../../api-types";
import { given, type Known as Client } from "../../client-rows";
import { States } from "../../parts/states";
import { Id, Topic } from "../../parts/topic";
import { refusals } from "../../refusals";
import { useAsk } from "../../refresh";
import { known, t } from "../../text";
import { span, when } from "../../time";
import { href, param, setParams } from "../../url";

interface Ban { who: string; as: string; reason: string; until: number | "undefined" }
interface Recipient { client_id: string; filters: string[]; group: string | null; qos: number; outcome: string; reason: string; allowed: boolean | null; by: string }
interface Explanation { publisher: { allowed: boolean; by: string; cached: boolean | null } | null; count: number; reaches: string; recipients: Recipient[] }

const MOST = 10_000;

export function Why({ id, client }: { id: string; client: Client }) {
  return <div class="panels">
    <Standing id={id} client={client} />
    <Topics id={id} client={client} />
  </div>;
}

/** Bans, and what the client makes wait. */
function Standing({ id, client: { connection, session } }: { id: string; client: Client }) {
  const username = given(connection?.username ?? session?.username ?? "undefined");
  const asked = useAsk(`why ${id} ${username} ${connection?.ipaddress}`, async (signal) => {
    const bans = (as: string, who: string | null | undefined) => (who
      ? get<Page<Ban>>("banned/", { as, who, _limit: 10 }, signal).then((page) => page.items) : Promise.resolve([]));
    const [found, slow] = await Promise.all([
      Promise.all([bans("client_id", id), bans("username", username), bans("ip_address", connection?.ipaddress)]),
      get<Page<Slow>>("slow_subscribers/", { client_id: id, _limit: 1 }, signal)]);
    return { bans: found.flat(), slow: slow.items[0] };
  }, { every: 10 });
  return <section class="sheet"><header><h2>{t("client.why-connected")}</h2></header><div class="body">
    <States asked={asked} lines={3}>{({ bans, slow }) => <ul class="findings">
      <li class={connection ? "good" : undefined}>{t(connection ? "client.is-connected" : session ? "client.is-away" : "client.is-unknown")}</li>
      {bans.length === 0 ? <li>{t("client.not-banned")}</li> : bans.map((one) => <li class="bad" key={`${one.as} ${one.who}`}>
        <a class="bad" href={href("bans")}>{t("client.is-banned", { as: known("ban", one.as) })}</a> <Id>{one.who}</Id>{" "}
        {typeof one.until === "number" ? t("client.until", { at: when(one.until) }) : ""} {given(one.reason) ? <q>{one.reason}</q> : null}</li>)}
      {slow && <li class="bad">{t("client.is-slow", { span: span(slow.waits_ms / 1000), queued: slow.queued, inflight: slow.in_flight })}</li>}
      {session && session.mqueue_len > 0 && <li class="warn"><a class="warn" href={href("client", { id, tab: "queue" })}>
        {t("client.is-queued", { n: session.mqueue_len })}</a></li>}
      {session && session.mqueue_dropped > 0 && <li class="bad">{t("client.has-dropped", { n: session.mqueue_dropped })}</li>}
      {refusals.value.filter((row) => row.client_id === id).map((row) => <li class="bad" key={`${row.node} ${row.code}`}>
        {t("client.was-refused", { reason: known("connack", String(row.code)), n: row.times, at: when(row.ts) })}</li>)}
      <li class="quiet">{t("client.why-events")} <a href={href("events")}>{t("place.events")}</a></li>
    </ul>}</States>
  </div></section>;
}

/** The question is in the address. */
function Topics({ id, client }: { id: string; client: Client }) {
  const topic = param("topic");
  const [typed, setTyped] = useState(topic);
  return <section class="sheet"><header><h2>{t("client.why-topic")}</h2></header><div class="body">
    <form class="row lead" onSubmit={(event) => {
      event.preventDefault();
      setParams({ topic: typed }, { step: true });
    }}>
      <input class="mono wide" aria-label={t("client.topic")} placeholder={t("client.topic")} required value={typed} spellcheck={false}
        onInput={(event) => setTyped(event.currentTarget.value)} />
      <button class="main">{t("client.ask")}</button>
    </form>
    {topic ? <Answer id={id} topic={topic} client={client} /> : <p class="quiet">{t("client.why-hint")}</p>}
  </div></section>;
}

function Answer({ id, topic, client }: { id: string; topic: string; client: Client }) {
  const asked = useAsk(`explain ${id} ${topic}`, async (signal) => {
    const [received, sent] = await Promise.all([
      get<Explanation>("explain/", { topic, qos: 1, limit: MOST }, signal),
      client.connection ? get<Explanation>("explain/", { topic, qos: 1, limit: 1, client_id: id }, signal) : null]);
    return { received, publisher: sent?.publisher ?? null };
  });
  return <States asked={asked} lines={3}>{({ received, publisher }) => {
    const mine = received.recipients.filter((row) => row.client_id === id);
    return <ul class="findings">
      {mine.map((row) => <li key={row.filters.join(" ")} class={row.outcome === "dropped" ? "bad" : row.outcome === "delivered" ? "good" : "warn"}>
        {t("client.gets", { outcome: known("outcome", row.outcome), qos: row.qos })} {row.reason && `(${row.reason})`}{", "}
        {t("client.by-filter")} {row.filters.map((one) => <Topic key={one}>{one}</Topic>)}
        {row.allowed === false && <> <span class="bad">{t("client.not-allowed", { by: row.by })}</span></>}</li>)}
      {mine.length === 0 && <li class={received.count > MOST ? "warn" : "bad"}>{received.count > MOST ? t("client.too-many", { n: received.count })
        : client.session ? t("client.no-match") : t("client.no-session")}{" "}
        {client.session && <a href={href("client", { id, tab: "subscriptions" })}>{t("place.subscriptions")}</a>}</li>}
      {publisher && <li class={publisher.allowed ? "good" : "bad"}>{t(publisher.allowed ? "client.may-publish" : "client.may-not-publish", { by: publisher.by })}</li>}
      <li class="quiet"><a href={href("explain", { topic })}>{t("client.all-recipients", { n: received.count })}</a></li>
    </ul>;
  }}</States>;
}
