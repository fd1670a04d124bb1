/** The messages that wait for a client, oldest first. */
import { del, seg } from "../../api";
import { onNode } from "../../client-rows";
import { confirm, MANY } from "../../parts/confirm";
import { ListOf, useList } from "../../parts/list";
import { complain, toast } from "../../parts/toast";
import { Topic } from "../../parts/topic";
import { may } from "../../session";
import { t } from "../../text";
import { absolute, bytes, now, span } from "../../time";

interface Queued { topic: string; qos: number; retain: boolean; payload_size: number; published_at_ts: number; expires_in: number | "undefined" }

interface Props { id: string; node: string; connected: boolean; again: () => void }

export function Queue({ id, node, connected, again }: Props) {
  const list = useList<Queued>(onNode(node, `sessions/${seg(id)}/messages/`), { every: 10 });
  const first = list.asked.data ? (list.asked.data.meta.page - 1) * list.asked.data.meta.limit : 0;
  const places = new Map(list.asked.data?.items.map((row, index) => [row, first + index + 1]));
  const count = list.asked.data?.meta.count ?? 0;
  const empty = async (): Promise<void> => {
    if (!await confirm({ title: t("client.empty-title", { n: count }), verb: t("client.empty-verb"), danger: true,
      typed: count > MANY ? String(count) : undefined, body: <p>{t("client.empty-body")}</p> })) return;
    await del<{ deleted: number }>(onNode(node, `sessions/${seg(id)}/messages/`)).then(({ deleted }) => toast(t("client.emptied", { n: deleted })), complain);
    list.asked.again();
    again();
  };
  return <>
    {may("operator") && count > 0 && !connected &&
      <div class="row lead"><button class="danger" onClick={() => void empty()}>{t("client.empty")}</button></div>}
    <ListOf list={list} caption={t("sessions.queue")} rowKey={(row) => String(places.get(row) ?? row.topic)} empty={t("client.no-queue")}
    columns={[
      { id: "place", title: "#", number: true, cell: (row) => places.get(row) },
      { id: "topic", title: t("client.topic"), sort: "topic", cell: (row) => <Topic linked>{row.topic}</Topic>, hint: (row) => row.topic.slice(0, 2000) },
      { id: "qos", title: "QoS", sort: "qos", number: true, cell: (row) => row.qos },
      { id: "retain", title: t("client.retain"), sort: "retain", cell: (row) => t(row.retain ? "clients.yes" : "clients.no") },
      { id: "size", title: t("client.size"), sort: "payload_size", number: true, cell: (row) => bytes(row.payload_size) },
      { id: "came", title: t("client.came"), sort: "published_at_ts", cell: (row) => <time title={absolute(row.published_at_ts)}>
        {t("age.ago", { span: span(now.value - row.published_at_ts) })}</time> },
      { id: "expires", title: t("client.expires"), sort: "expires_in", cell: (row) => (row.expires_in === "undefined" ? t("sessions.never") : span(row.expires_in)) },
    ]} /></>;
}
