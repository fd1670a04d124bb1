/** Sessions, of clients that are connected and of those that are away. */
import { forget, kick } from "../client-actions";
import { given, keyOf, listOf, NEVER_EXPIRES, type SessionRow } from "../client-rows";
import { isCluster } from "../cluster";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { ListOf, useList } from "../parts/list";
import { Count } from "../parts/states";
import type { Column } from "../parts/table";
import { ClientLink, Id } from "../parts/topic";
import { may } from "../session";
import { number, t } from "../text";
import { absolute, bytes, now, span } from "../time";
import { go, href, param } from "../url";

const FILTERS = ["_like_client_id", "_like_username", "username", "connected", "_gte_mqueue_len", "_gte_mqueue_dropped"];

/** How much of it is taken; 0 is no limit. */
export const ofMost = (value: number, most: number): string => (most ? `${number(value)}/${number(most)}` : number(value));

const columns = (): Column<SessionRow>[] => [
  { id: "id", title: t("clients.id"), sort: "client_id", cell: (row) => <ClientLink id={row.client_id} />, hint: (row) => row.client_id.slice(0, 2000) },
  { id: "user", title: t("clients.user"), sort: "username", cell: (row) => <Id>{given(row.username)}</Id> },
  { id: "state", title: t("sessions.state"), sort: "connected", cell: (row) => (row.connected
    ? <span class="good">● {t("sessions.connected")}</span> : <span class="quiet">○ {t("sessions.away")}</span>) },
  { id: "subscriptions", title: t("place.subscriptions"), sort: "subscriptions_count", number: true,
    cell: (row) => <a href={href("client", { id: row.client_id, tab: "subscriptions" })}>{ofMost(row.subscriptions_count, row.max_subscriptions)}</a> },
  { id: "inflight", title: t("sessions.inflight"), sort: "inflight_len", number: true, cell: (row) => ofMost(row.inflight_len, row.max_inflight) },
  { id: "queue", title: t("sessions.queue"), sort: "mqueue_len", number: true,
    cell: (row) => <a href={href("client", { id: row.client_id, tab: "queue" })}>{ofMost(row.mqueue_len, row.max_mqueue)}</a> },
  { id: "bytes", title: t("sessions.bytes"), sort: "mqueue_bytes", number: true, cell: (row) => bytes(row.mqueue_bytes) },
  { id: "dropped", title: t("sessions.dropped"), sort: "mqueue_dropped", number: true,
    cell: (row) => <span class={row.mqueue_dropped ? "bad" : undefined}>{number(row.mqueue_dropped)}</span> },
  { id: "expiry", title: t("sessions.expiry"), sort: "expiry_interval", number: true,
    cell: (row) => (row.expiry_interval >= NEVER_EXPIRES ? t("sessions.never") : span(row.expiry_interval)) },
  { id: "since", title: t("sessions.since"), sort: "created_at_ts", cell: (row) => <time title={absolute(row.created_at_ts)}>
    {span(now.value - row.created_at_ts)}</time> },
  ...(isCluster.value ? [{ id: "node", title: t("subscriptions.node"), sort: "node", cell: (row: SessionRow) => <code>{row.node}</code> }] : []),
];

export default function Sessions() {
  const list = useList<SessionRow>(listOf("sessions", param("node")), { filters: FILTERS, every: 10 });
  const { data, again } = list.asked;
  return <>
    <Heading title={<>{t("place.sessions")} <Count of={data?.meta.count} /></>}>
      <Filters filters={[
        { name: "_like_client_id", label: t("clients.id-contains") },
        { name: "_like_username", label: t("clients.user-contains") },
        { name: "connected", label: t("sessions.state"), choices: [["true", t("sessions.connected")], ["false", t("sessions.away")]] },
        { name: "_gte_mqueue_len", label: t("sessions.queue"), choices: [["1", t("sessions.not-empty")]] },
        { name: "_gte_mqueue_dropped", label: t("sessions.dropped"), choices: [["1", t("sessions.some-dropped")]] },
      ]} />
    </Heading>
    <ListOf list={list} caption={t("place.sessions")} columns={columns()} rowKey={keyOf}
      onOpen={(row) => go("client", { id: row.client_id })} empty={t("sessions.empty")}
      actions={may("operator") ? (rows, clear) => {
        const away = rows.filter((row) => !row.connected);
        const connected = rows.filter((row) => row.connected).map((row) => row.client_id);
        const after = async (act: Promise<boolean>): Promise<void> => {
          if (!await act) return;
          clear();
          again();
        };
        return <>
          {connected.length > 0 && <button class="danger" onClick={() => void after(kick(connected))}>{t("sessions.kick", { n: connected.length })}</button>}
          {away.length > 0 && <button class="danger" onClick={() => void after(forget(away))}>{t("sessions.forget", { n: away.length })}</button>}
        </>;
      } : undefined} />
  </>;
}
