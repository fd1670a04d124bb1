/** One client: its connection, session, subscriptions, queue, a trace of it, and why something does not arrive. */
import { get, type Page } from "../api";
import { ban, forget, kick } from "../client-actions";
import { given, knownOf, listOf, VERSIONS, type Known, type SessionRow } from "../client-rows";
import { Age } from "../parts/age";
import { Copy } from "../parts/copy";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { ClientLink, Id } from "../parts/topic";
import { Tracing } from "../parts/tracing";
import { useAsk } from "../refresh";
import { may } from "../session";
import { number, t } from "../text";
import { now, span } from "../time";
import { href, param, setParams } from "../url";
import { Facts } from "./client/facts";
import { Queue } from "./client/queue";
import { Subscriptions } from "./client/subscriptions";
import { Why } from "./client/why";

const TABS = ["facts", "subscriptions", "queue", "trace", "why"] as const;
type Tab = (typeof TABS)[number];

export default function Client() {
  const id = param("id");
  return id ? <One key={id} id={id} /> : <><Heading title={t("place.client")} />
    <p>{t("client.no-id")} <a href={href("clients")}>{t("place.clients")}</a></p></>;
}

function One({ id }: { id: string }) {
  const tab = TABS.find((one) => one === param("tab")) ?? "facts";
  const node = param("node");
  const asked = useAsk(`client ${id} ${node}`, (signal) => knownOf(id, node, signal), { every: 5 });
  const known = asked.data;
  const shows = tab === "why" || known?.session !== undefined;
  return <>
    <Heading title={<><span class="hidden">{t("place.client")} </span><Id>{id}</Id></>}>
      <Copy text={id} />
      {known && <State {...known} />}
      <span class="spread" />
      {known && may("operator") && <Actions id={id} known={known} again={asked.again} />}
    </Heading>
    <div class="row"><nav class="tabs" aria-label={t("client.parts")}>{TABS.map((one) =>
      <a key={one} href={href("client", { id, tab: one === "facts" ? "" : one })} aria-current={tab === one ? "page" : undefined}
        onClick={(event) => {
          event.preventDefault();
          setParams({ tab: one === "facts" ? "" : one, page: "", sort: "" }, { step: true });
        }}>{t(`client.tab.${one}`)}{countOf(one, known)}</a>)}</nav>
    <span class="spread" /><Age at={asked.at} bad={asked.failure !== undefined} /></div>
    <States asked={asked} lines={8}>{(found) => (shows ? <Part tab={tab} id={id} known={found} again={asked.again} /> : <Unknown id={id} />)}</States>
  </>;
}

function countOf(tab: Tab, known: Known | undefined): string {
  const row = known?.session;
  if (!row) return "";
  return tab === "subscriptions" ? ` ${number(row.subscriptions_count)}` : tab === "queue" ? ` ${number(row.mqueue_len)}` : "";
}

function Part({ tab, id, known, again }: { tab: Tab; id: string; known: Known; again: () => void }) {
  switch (tab) {
    case "facts": return <Facts {...known} />;
    case "subscriptions": return <Subscriptions id={id} again={again} />;
    case "queue": return <Queue id={id} node={known.session?.node ?? ""} connected={known.connection !== undefined} again={again} />;
    case "trace": return <Tracing question={() => ({ client_id: id })} />;
    case "why": return <Why key={id} id={id} client={known} />;
  }
}

function State({ connection, session }: Known) {
  if (connection) return <>
    <span class="good">● {t("client.connected", { span: span(now.value - connection.connected_at_ts) })}</span>
    <span class="quiet"><Id>{given(connection.username)}</Id> · <code>{connection.ipaddress}:{connection.port}</code>
      {" "}· MQTT {VERSIONS[connection.proto_ver]} · {t("client.zone", { zone: connection.zone })}</span>
    {connection.is_slow && <a class="bad" href={href("slow")}>▲ {t("clients.slow")}</a>}
  </>;
  return session ? <span class="quiet">○ {t("client.away")}</span> : null;
}

function Actions({ id, known, again }: { id: string; known: Known; again: () => void }) {
  const after = async (act: Promise<boolean>): Promise<void> => void (await act && again());
  return <>
    {known.connection && <button class="danger" onClick={() => void after(kick([id]))}>{t("act.kick-ask")}</button>}
    <button class="danger" onClick={() => void after(ban([id], new Set(known.connection ? [id] : [])))}>{t("act.ban-ask")}</button>
    {known.session && !known.connection &&
      <button class="danger" onClick={() => void after(forget([known.session!]))}>{t("act.forget-ask")}</button>}
  </>;
}

const LIKE = 10;

/** Nothing has this id: ids that contain it. */
function Unknown({ id }: { id: string }) {
  const node = param("node");
  const asked = useAsk(`like ${id} ${node}`, (signal) =>
    get<Page<SessionRow>>(listOf("sessions", node), { _like_client_id: id, _limit: LIKE }, signal));
  return <div class="sheet state-box">
    {node && <p>{t("client.only-node", { node })} <button class="link" onClick={() => setParams({ node: "" }, { step: true })}>{t("client.all-nodes")}</button></p>}
    <p>{t("client.unknown")} <a href={href("client", { id, tab: "why" })}>{t("client.unknown-why")}</a></p>
    <States asked={asked} lines={2} isEmpty={(found) => found.items.length === 0} empty={t("client.none-like")}>{(found) => <>
      <p>{t("client.like", { n: found.meta.count ?? found.items.length })}</p>
      <ul class="targets">{found.items.map((row) => <li key={row.client_id}><ClientLink id={row.client_id} /></li>)}</ul>
    </>}</States>
  </div>;
}
