/** The topic or filter that is chosen: its retained message, and what is below it. */
import { useMemo } from "preact/hooks";
import { del, get, seg, type Page } from "../../api";
import { Copy } from "../../parts/copy";
import { confirm, MANY } from "../../parts/confirm";
import { Payload } from "../../parts/payload";
import { fromBase64 } from "../../parts/payload-views";
import { States } from "../../parts/states";
import { complain, toast } from "../../parts/toast";
import { ClientLink, Id, Topic } from "../../parts/topic";
import { useAsk } from "../../refresh";
import { may } from "../../session";
import { t } from "../../text";
import { absolute, bytes, now, span } from "../../time";
import { href } from "../../url";
import { publishAgain, PublishButton, type Retained } from "./publish";

interface Props { topic: string; changes: number; changed: () => void }

export function Chosen({ topic, changes, changed }: Props) {
  const isFilter = /[#+]/.test(topic);
  const below = isFilter ? topic : `${topic}/#`;
  const asked = useAsk(`chosen ${topic} ${changes}`, async (signal) => {
    const [found, others] = await Promise.all([
      isFilter ? [] : get<Retained[]>(`retained/${seg(topic)}`, {}, signal),
      get<Page<unknown>>("retained/", { _match_topic: below, _limit: 1 }, signal)]);
    return { message: found[0], below: others.meta.count ?? 0 };
  }, { keep: true });
  const remove = async (message: Retained): Promise<void> => {
    try {
      await del(`retained/${seg(topic)}`);
      toast(t("topics.deleted", { topic }), { undo: () => publishAgain(message).then(changed) });
      changed();
    } catch (error) {
      complain(error);
    }
  };
  const removeBelow = async (count: number): Promise<void> => {
    if (!await confirm({ title: t("topics.delete-below-title", { n: count }), verb: t("topics.delete"), danger: true,
      typed: count > MANY ? below : undefined, body: <><p><Topic>{below}</Topic></p><p>{t("topics.delete-follows")}</p></> })) return;
    try {
      const { deleted } = await del<{ deleted: number }>("retained/", { _match_topic: below });
      toast(t("topics.deleted-below", { n: deleted }));
      changed();
    } catch (error) {
      complain(error);
    }
  };
  return <>
    <header><h2 class="chosen"><Topic linked>{topic}</Topic></h2><Copy text={topic} /></header>
    <div class="body stack">
      <States asked={asked} lines={5}>{({ message, below: count }) => <>
        {message ? <Message message={message} /> : !isFilter && <p class="quiet">{t("topics.no-message")}</p>}
        {isFilter && <p>{t("topics.is-filter", { n: count })}</p>}
        <div class="row">
          {!isFilter && may("operator") && <PublishButton topic={topic} done={changed} />}
          {message && may("operator") && <button class="danger" onClick={() => void remove(message)}>{t("topics.delete")}</button>}
          {may("operator") && count > (message ? 1 : 0) && <button class="danger" onClick={() => void removeBelow(count)}>
            {t("topics.delete-below", { n: count })}</button>}
        </div>
      </>}</States>
      <div class="row">
        {!isFilter && <a href={href("explain", { topic })}>{t("place.explain")}</a>}
        <a href={href("trace", { topic })}>{t("place.trace")}</a>
        <a href={href("subscriptions", { _match_topic: topic })}>{t("place.subscriptions")}</a>
      </div>
    </div>
  </>;
}

function Message({ message }: { message: Retained }) {
  const content = useMemo(() => (message.payload_encoding === "base64" ? fromBase64(message.payload)
    : new TextEncoder().encode(message.payload)), [message.payload, message.payload_encoding]);
  const properties = Object.entries(message.properties);
  return <>
    <div class="quiet">{bytes(message.payload_size)} · QoS {message.qos} · {t("topics.by")} {message.client_id ? <ClientLink id={message.client_id} /> : <Id>{message.client_id}</Id>} ·{" "}
      <time title={absolute(message.published_at_ts)}>{t("age.ago", { span: span(now.value - message.published_at_ts) })}</time> ·{" "}
      {message.expires_in === "undefined" ? t("topics.never-expires") : t("topics.expires", { span: span(message.expires_in) })}</div>
    <Payload bytes={content} topic={message.topic} />
    {properties.length > 0 && <dl class="facts">{properties.map(([name, value]) => [<dt key={name}>{name}</dt>,
      <dd key={`${name} is`}><code>{typeof value === "string" ? value : JSON.stringify(value)}</code></dd>])}</dl>}
  </>;
}
