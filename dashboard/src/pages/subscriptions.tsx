/** Subscriptions of all clients, connected or not. */
import { filterOf, unsubscribe, type Subscription } from "../client-actions";
import { given, listOf } from "../client-rows";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { ListOf, useList } from "../parts/list";
import { Count } from "../parts/states";
import type { Column } from "../parts/table";
import { ClientLink, Id, Topic } from "../parts/topic";
import { may } from "../session";
import { t } from "../text";
import { go, href, param } from "../url";

const FILTERS = ["group", "_like_client_id", "client_id", "_match_topic", "_like_topic", "qos"];

const columns = (): Column<Subscription>[] => [
  { id: "topic", title: t("subscriptions.filter"), sort: "topic", cell: (row) => <Topic linked>{row.topic}</Topic>, hint: (row) => row.topic.slice(0, 2000) },
  { id: "group", title: t("subscriptions.group"), sort: "group", cell: (row) => <Id>{given(row.group)}</Id> },
  { id: "client", title: t("clients.id"), sort: "client_id", cell: (row) => <ClientLink id={row.client_id} />, hint: (row) => row.client_id.slice(0, 2000) },
  { id: "qos", title: "QoS", sort: "qos", number: true, cell: (row) => row.qos },
  { id: "no-local", title: t("subscriptions.no-local"), sort: "no_local", spare: true, cell: (row) => t(row.no_local ? "clients.yes" : "clients.no") },
  { id: "as-published", title: t("subscriptions.as-published"), sort: "retain_as_published", spare: true,
    cell: (row) => t(row.retain_as_published ? "clients.yes" : "clients.no") },
  { id: "handling", title: t("subscriptions.handling"), sort: "retain_handling", spare: true, number: true, cell: (row) => row.retain_handling },
  { id: "identifier", title: t("subscriptions.identifier"), sort: "subscription_id", spare: true, number: true, cell: (row) => row.subscription_id || "–" },
  { id: "node", title: t("subscriptions.node"), sort: "node", cell: (row) => <code>{row.node}</code> },
  { id: "explain", title: t("subscriptions.explain"), cell: (row) => (/[#+]/.test(row.topic) ? <span class="quiet">–</span>
    : <a href={href("explain", { topic: row.topic })}>{t("place.explain")}</a>) },
];

/** An id may hold spaces, too: its length tells where it ends. */
const rowKey = (row: Subscription): string => `${row.client_id} ${filterOf(row)} ${row.client_id.length}`;

export default function Subscriptions() {
  const list = useList<Subscription>(listOf("subscriptions", param("node")), { filters: FILTERS, every: 30 });
  const { data, again } = list.asked;
  return <>
    <Heading title={<>{t("place.subscriptions")} <Count of={data?.meta.count} /></>}>
      <Filters filters={[
        { name: "_match_topic", label: t("subscriptions.matches") },
        { name: "_like_topic", label: t("subscriptions.contains") },
        { name: "_like_client_id", label: t("clients.id-contains") },
        { name: "group", label: t("subscriptions.group") },
        { name: "qos", label: "QoS", choices: [["0", "0"], ["1", "1"], ["2", "2"]] },
      ]} />
    </Heading>
    <ListOf list={list} caption={t("place.subscriptions")} columns={columns()} rowKey={rowKey}
      onOpen={(row) => go("client", { id: row.client_id, tab: "subscriptions" })} empty={t("subscriptions.empty")}
      actions={may("operator") ? (rows, clear) => <button class="danger" onClick={() => void unsubscribe(rows).then((done) => {
        if (!done) return;
        clear();
        again();
      })}>{t("act.unsubscribe-ask")}</button> : undefined} />
  </>;
}
