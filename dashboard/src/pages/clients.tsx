/** Clients that are connected. */
import { ban, kick } from "../client-actions";
import { given, keyOf, listOf, VERSIONS, type Connection } from "../client-rows";
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

const FILTERS = ["_like_client_id", "_like_username", "username", "ipaddress", "proto_ver", "is_slow"];

const columns = (): Column<Connection>[] => [
  { id: "id", title: t("clients.id"), sort: "client_id", cell: (row) => <ClientLink id={row.client_id} />, hint: (row) => row.client_id.slice(0, 2000) },
  { id: "user", title: t("clients.user"), sort: "username", cell: (row) => <Id>{given(row.username)}</Id> },
  { id: "address", title: t("clients.address"), sort: "ipaddress", cell: (row) => <code>{row.ipaddress}:{row.port}</code> },
  { id: "version", title: "MQTT", sort: "proto_ver", cell: (row) => VERSIONS[row.proto_ver] ?? row.proto_ver },
  { id: "keepalive", title: t("clients.keepalive"), sort: "keepalive", number: true, cell: (row) => `${number(row.keepalive)} s` },
  { id: "in", title: t("clients.in"), sort: "recv_msg", number: true, cell: (row) => number(row.recv_msg) },
  { id: "out", title: t("clients.out"), sort: "send_msg", number: true, cell: (row) => number(row.send_msg) },
  { id: "waiting", title: t("clients.waiting"), sort: "send_pend", number: true, cell: (row) => bytes(row.send_pend) },
  { id: "slow", title: t("clients.slow"), sort: "is_slow", cell: (row) => (row.is_slow ? <span class="bad">▲ {t("clients.yes")}</span> : "–") },
  { id: "bytes-in", title: t("clients.bytes-in"), sort: "recv_oct", number: true, spare: true, cell: (row) => bytes(row.recv_oct) },
  { id: "bytes-out", title: t("clients.bytes-out"), sort: "send_oct", number: true, spare: true, cell: (row) => bytes(row.send_oct) },
  { id: "clean", title: t("client.clean-start"), sort: "clean_start", spare: true, cell: (row) => t(row.clean_start ? "clients.yes" : "clients.no") },
  { id: "will", title: t("client.will"), sort: "will_topic", spare: true, cell: (row) => <Id>{given(row.will_topic)}</Id> },
  { id: "zone", title: t("clients.zone"), sort: "zone", spare: true, cell: (row) => <code>{row.zone}</code> },
  { id: "since", title: t("clients.since"), sort: "connected_at_ts", cell: (row) => <time title={absolute(row.connected_at_ts)}>
    {span(now.value - row.connected_at_ts)}</time> },
  ...(isCluster.value ? [{ id: "node", title: t("subscriptions.node"), sort: "node", cell: (row: Connection) => <code>{row.node}</code> }] : []),
];

export default function Clients() {
  const list = useList<Connection>(listOf("connections", param("node")), { filters: FILTERS, every: 10 });
  const { data, again } = list.asked;
  return <>
    <Heading title={<>{t("place.clients")} <Count of={data?.meta.count} /></>}>
      <Filters filters={[
        { name: "_like_client_id", label: t("clients.id-contains") },
        { name: "_like_username", label: t("clients.user-contains") },
        { name: "ipaddress", label: t("clients.address") },
        { name: "proto_ver", label: "MQTT", choices: Object.entries(VERSIONS) },
        { name: "is_slow", label: t("clients.slow"), choices: [["true", t("clients.yes")], ["false", t("clients.no")]] },
      ]} />
    </Heading>
    <ListOf list={list} caption={t("place.clients")} columns={columns()} rowKey={keyOf}
      onOpen={(row) => go("client", { id: row.client_id })}
      nothing={param("_like_client_id") && <>{t("clients.not-here")}{" "}
        <a href={href("sessions", { _like_client_id: param("_like_client_id") })}>{t("place.sessions")}</a> {t("clients.or")}{" "}
        <a href={href("client", { id: param("_like_client_id"), tab: "why" })}>{t("clients.why-not")}</a></>}
      empty={<>{t("clients.empty")} <a href={href("mqtt")}>{t("place.mqtt")}</a></>}
      actions={may("operator") ? (rows, clear) => {
        const ids = rows.map((row) => row.client_id);
        const after = async (act: Promise<boolean>): Promise<void> => {
          if (!await act) return;
          clear();
          again();
        };
        return <>{ids.length === 2 && <a href={href("client", { id: ids[0], with: ids[1] })}>{t("client.compare")}</a>}
          <button class="danger" onClick={() => void after(kick(ids))}>{t("act.kick-ask")}</button>
          <button class="danger" onClick={() => void after(ban(ids, new Set(ids)))}>{t("act.ban-ask")}</button></>;
      } : undefined} />
  </>;
}
