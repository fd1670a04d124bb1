/** Clients that make messages wait, the slowest first. */
import { del } from "../api";
import type { SlowSubscriberRow as Slow } from "../api-types";
import { kick } from "../client-actions";
import { keyOf } from "../client-rows";
import { isCluster } from "../cluster";
import { confirm } from "../parts/confirm";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { ListOf, useList } from "../parts/list";
import { complain, toast } from "../parts/toast";
import { ClientLink, Id, Topic } from "../parts/topic";
import type { Column } from "../parts/table";
import { may } from "../session";
import { number, t } from "../text";
import { bytes, when } from "../time";
import { href, param } from "../url";

const UNDEFINED = "undefined";
const where = (row: Slow) => t(row.queued > 0 ? "slow.queue" : row.in_flight > 0 ? "slow.unacknowledged" : "slow.socket");

export default function SlowSubscribers() {
  const list = useList<Slow>("slow_subscribers/", { params: { node: param("node") }, filters: ["_like_client_id", "_like_username"], every: 5 });
  const columns: Column<Slow>[] = [
    { id: "client", title: t("slow.client"), sort: "client_id", cell: (row) => <ClientLink id={row.client_id} /> },
    { id: "user", title: t("slow.user"), sort: "username", cell: (row) => <Id>{row.username === UNDEFINED ? null : row.username}</Id> },
    { id: "where", title: t("slow.where"), cell: where },
    { id: "waits", title: t("slow.waits"), number: true, sort: "waits_ms", cell: (row) => `${number(row.waits_ms)} ms` },
    { id: "highest", title: t("slow.highest"), number: true, sort: "highest_ms", cell: (row) => `${number(row.highest_ms)} ms` },
    { id: "topic", title: t("slow.topic"), cell: (row) => row.topic === UNDEFINED ? "–" : <Topic linked>{row.topic}</Topic>, hint: (row) => row.topic },
    { id: "in_flight", title: t("slow.in-flight"), number: true, sort: "in_flight", cell: (row) => number(row.in_flight) },
    { id: "queued", title: t("slow.queued"), number: true, sort: "queued", cell: (row) => number(row.queued) },
    { id: "bytes", title: t("slow.bytes"), number: true, sort: "waiting_bytes", cell: (row) => bytes(row.waiting_bytes) },
    { id: "at", title: t("slow.at"), sort: "at_ts", cell: (row) => when(row.at_ts) },
    ...(isCluster.value ? [{ id: "node", title: t("subscriptions.node"), sort: "node", cell: (row: Slow) => <code>{row.node}</code> }] : []),
    { id: "trace", title: t("slow.look"), cell: (row) => <a href={href("trace", { client_id: row.client_id })}>{t("place.trace")}</a> },
  ];
  const forget = async (): Promise<void> => {
    if (!await confirm({ title: t("slow.forget-title"), body: <p>{t("slow.forget-body")}</p>, verb: t("slow.forget-verb") })) return;
    await del("slow_subscribers/").then(() => toast(t("slow.forgotten")), complain);
    list.asked.again();
  };
  return <>
    <Heading title={t("place.slow")}>
      <Filters filters={[{ name: "_like_client_id", label: t("slow.client") }, { name: "_like_username", label: t("slow.user") }]} />
      <span class="spread" />
      {may("operator") && <button onClick={() => void forget()}>{t("slow.forget")}</button>}
    </Heading>
    <p class="quiet">{t("slow.what")}</p>
    <ListOf list={list} caption={t("place.slow")} columns={columns} rowKey={keyOf} empty={t("slow.none")}
      actions={may("operator") ? (rows, clear) => <button class="danger" onClick={() => void kick(rows.map((row) => row.client_id)).then((done) => {
        if (!done) return;
        clear();
        list.asked.again();
      })}>{t("act.kick-ask")}</button> : undefined} />
  </>;
}
