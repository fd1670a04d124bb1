/** Counters and rates of chosen topics and topic filters. */
import { useSignal } from "@preact/signals";
import { del, post, put, seg } from "../api";
import type { TopicMetricsRow as Metered } from "../api-types";
import { batch } from "../parts/confirm";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { ListOf, useList } from "../parts/list";
import type { Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Topic } from "../parts/topic";
import { may } from "../session";
import { number, t } from "../text";
import { bytes, figure, when } from "../time";

export default function TopicMetrics() {
  const list = useList<Metered>("topic_metrics/", { filters: ["_like_topic"], every: 5 });
  const typed = useSignal("");
  const counted = (name: "received" | "sent"): Column<Metered>[] => [
    { id: name, title: t(`metered.${name}`), number: true, sort: name, cell: (row) => number(row[name]),
      hint: (row) => [0, 1, 2].map((qos) => `QoS ${qos}: ${number(row[`${name}_qos${qos as 0 | 1 | 2}`])}`).join(" · ") },
    { id: `${name}-rate`, title: t("metered.rate"), number: true, sort: `${name}_rate`, cell: (row) => figure(row[`${name}_rate`]) },
    { id: `${name}-bytes`, title: t("metered.bytes"), number: true, sort: `${name}_bytes`, cell: (row) => bytes(row[`${name}_bytes`]) },
  ];
  const columns: Column<Metered>[] = [
    { id: "topic", title: t("metered.topic"), sort: "topic", cell: (row) => <Topic linked>{row.topic}</Topic>, hint: (row) => row.topic },
    ...counted("received"), ...counted("sent"),
    { id: "queued", title: t("metered.queued"), number: true, sort: "queued", cell: (row) => number(row.queued) },
    { id: "acknowledged", title: t("metered.acknowledged"), number: true, sort: "acknowledged", cell: (row) => number(row.acknowledged) },
    { id: "dropped", title: t("metered.dropped"), number: true, sort: "dropped", cell: (row) => number(row.dropped) },
    { id: "dropped-rate", title: t("metered.rate"), number: true, sort: "dropped_rate", cell: (row) => figure(row.dropped_rate) },
    { id: "since", title: t("metered.since"), sort: "created_at_ts", cell: (row) => when(row.created_at_ts) },
  ];
  const add = (): void => void post("topic_metrics/", { topic: typed.value }).then(() => {
    toast(t("metered.added"));
    typed.value = "";
    list.asked.again();
  }, complain);
  return <>
    <Heading title={t("place.topic-metrics")}>
      <Filters filters={[{ name: "_like_topic", label: t("metered.find") }]} />
      <span class="spread" />
      {may("operator") && <form class="row" onSubmit={(event) => {
        event.preventDefault();
        add();
      }}>
        <input class="mono" required size={28} placeholder="plant/+/state" aria-label={t("metered.new")} value={typed.value} spellcheck={false}
          onInput={(event) => (typed.value = event.currentTarget.value)} />
        <button class="main">{t("metered.add")}</button>
      </form>}
    </Heading>
    <ListOf list={list} caption={t("place.topic-metrics")} columns={columns} rowKey={(row) => row.topic} empty={t("metered.none")}
      actions={may("operator") ? (rows, clear) => {
        const act = (what: "reset" | "remove", run: (row: Metered) => Promise<unknown>) => () => void batch(rows, {
          title: t(`metered.${what}-title`, { n: rows.length }), body: <p>{t(`metered.${what}-body`)}</p>, verb: t(`metered.${what}`),
          danger: what === "remove", name: (row) => row.topic, run, done: t(`metered.${what}-done`, { n: rows.length }),
        }).then((done) => {
          if (!done) return;
          clear();
          list.asked.again();
        });
        return <>
          <button onClick={act("reset", (row) => put(`topic_metrics/${seg(row.topic)}/reset`))}>{t("metered.reset")}</button>
          <button class="danger" onClick={act("remove", (row) => del(`topic_metrics/${seg(row.topic)}`))}>{t("metered.remove")}</button>
        </>;
      } : undefined} />
  </>;
}
