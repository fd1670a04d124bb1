/** What a client has subscribed to; operators add and take back. */
import { useState } from "preact/hooks";
import { post } from "../../api";
import { filterOf, unsubscribe, type Subscription } from "../../client-actions";
import { given, listOf } from "../../client-rows";
import { ListOf, useList } from "../../parts/list";
import { Id, Topic } from "../../parts/topic";
import { complain, toast } from "../../parts/toast";
import { may } from "../../session";
import { t } from "../../text";
import { href, param } from "../../url";

export function Subscriptions({ id, again }: { id: string; again: () => void }) {
  const list = useList<Subscription>(listOf("subscriptions", param("node")), { params: { client_id: id }, every: 10 });
  const both = (): void => {
    list.asked.again();
    again();
  };
  return <>
    {may("operator") && <Subscribe id={id} done={both} />}
    <ListOf list={list} caption={t("place.subscriptions")} rowKey={filterOf} empty={t("client.no-subscriptions")}
      columns={[
        { id: "topic", title: t("subscriptions.filter"), sort: "topic", cell: (row) => <Topic linked>{row.topic}</Topic>, hint: (row) => row.topic.slice(0, 2000) },
        { id: "group", title: t("subscriptions.group"), sort: "group", cell: (row) => <Id>{given(row.group)}</Id> },
        { id: "qos", title: "QoS", sort: "qos", number: true, cell: (row) => row.qos },
        { id: "node", title: t("subscriptions.node"), cell: (row) => <code>{row.node}</code> },
        { id: "others", title: t("client.others"), cell: (row) => <a href={href("subscriptions", { _match_topic: row.topic })}>{t("client.others-show")}</a> },
      ]}
      actions={may("operator") ? (rows, clear) => <button class="danger" onClick={() => void unsubscribe(rows).then((done) => {
        if (!done) return;
        clear();
        both();
      })}>{t("act.unsubscribe-ask")}</button> : undefined} />
  </>;
}

function Subscribe({ id, done }: { id: string; done: () => void }) {
  const [topic, setTopic] = useState("");
  const [qos, setQos] = useState(0);
  return <form class="row lead" onSubmit={(event) => {
    event.preventDefault();
    post("mqtt/subscribe", { client_id: id, topics: [topic], qos }).then(() => {
      toast(t("client.subscribed"));
      setTopic("");
      done();
    }, complain);
  }}>
    <input class="mono wide" aria-label={t("subscriptions.filter")} placeholder={t("subscriptions.filter")} required value={topic}
      spellcheck={false} onInput={(event) => setTopic(event.currentTarget.value)} />
    <select aria-label="QoS" value={qos} onChange={(event) => setQos(Number(event.currentTarget.value))}>
      {[0, 1, 2].map((one) => <option key={one} value={one}>QoS {one}</option>)}</select>
    <button>{t("client.subscribe")}</button>
  </form>;
}
