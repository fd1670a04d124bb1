/** Publishing: a new message, and one that was deleted. */
import { useState } from "preact/hooks";
import { Failure, post } from "../../api";
import { Dialog } from "../../parts/dialog";
import { toast } from "../../parts/toast";
import { t } from "../../text";

export interface Retained {
  topic: string; qos: number; client_id: string; payload_size: number; published_at_ts: number; expires_in: number | "undefined";
  payload: string; payload_encoding: "plain" | "base64"; properties: Record<string, unknown>;
}

/** With what is left of its time, and its other properties. */
export function publishAgain({ topic, qos, client_id, payload, payload_encoding, expires_in, properties }: Retained): Promise<unknown> {
  const { user_property, ...others } = properties;
  return post("mqtt/publish", { topics: [topic], qos, client_id, payload, payload_encoding, retain: true, properties: {
    ...others, ...(user_property ? { user_properties: user_property } : {}),
    ...(expires_in === "undefined" ? {} : { message_expiry_interval: expires_in }) } });
}

export function PublishButton({ topic, done }: { topic: string; done: () => void }) {
  const [isOpen, open] = useState(false);
  return <>
    <button onClick={() => open(true)}>{t("topics.publish-ask")}</button>
    {isOpen && <Publish topic={topic} close={() => open(false)} done={done} />}
  </>;
}

function Publish({ topic, close, done }: { topic: string; close: () => void; done: () => void }) {
  const [message, setMessage] = useState({ topic, payload: "", qos: 0, retain: false });
  const [failure, setFailure] = useState("");
  const change = (part: Partial<typeof message>): void => setMessage({ ...message, ...part });
  return <Dialog title={t("topics.publish")} close={close}>
    <form onSubmit={(event) => {
      event.preventDefault();
      const { topic: one, ...others } = message;
      post("mqtt/publish", { ...others, topics: [one] }).then(() => {
        toast(t("topics.published"));
        close();
        done();
      }, (error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        setFailure(error.message);
      });
    }}>
      <label class="field"><span class="label">{t("topics.topic")}</span>
        <input class="mono" required value={message.topic} spellcheck={false} onInput={(event) => change({ topic: event.currentTarget.value })} /></label>
      <label class="field"><span class="label">{t("topics.payload")}</span>
        <textarea class="mono" rows={6} value={message.payload} spellcheck={false} onInput={(event) => change({ payload: event.currentTarget.value })} /></label>
      <div class="row">
        <select aria-label="QoS" value={message.qos} onChange={(event) => change({ qos: Number(event.currentTarget.value) })}>
          {[0, 1, 2].map((one) => <option key={one} value={one}>QoS {one}</option>)}</select>
        <label><input type="checkbox" checked={message.retain} onChange={(event) => change({ retain: event.currentTarget.checked })} /> {t("topics.retain")}</label>
      </div>
      {failure && <p class="bad" role="alert">{failure}</p>}
      <div class="actions"><button type="button" onClick={close}>{t("confirm.cancel")}</button><button class="main">{t("topics.publish")}</button></div>
    </form>
  </Dialog>;
}
