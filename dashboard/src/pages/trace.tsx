/** What becomes of the messages of one topic, or of one client, as it happens. */
import { useSignal } from "@preact/signals";
import { Heading } from "../parts/heading";
import { Tracing } from "../parts/tracing";
import { t } from "../text";
import { param, setParams } from "../url";

export default function Trace() {
  const of = useSignal<"topic" | "client_id">(param("client_id") ? "client_id" : "topic");
  const subject = useSignal(param("client_id") || param("topic"));
  const question = (): Record<string, string> => {
    setParams({ client_id: "", topic: "", [of.value]: subject.value }, { step: true });
    return { [of.value]: subject.value };
  };
  return <>
    <Heading title={t("place.trace")} />
    <Tracing question={question}>{(isRunning) => <>
      <div class="segments" role="group" aria-label={t("trace.of")}>{(["topic", "client_id"] as const).map((one) =>
        <button key={one} type="button" disabled={isRunning} aria-pressed={of.value === one} onClick={() => (of.value = one)}>{t(`trace.of.${one}`)}</button>)}</div>
      <input class="mono" size={36} required disabled={isRunning} value={subject.value} aria-label={t(`trace.of.${of.value}`)} spellcheck={false}
        placeholder={of.value === "topic" ? "plant/+/state" : ""} onInput={(event) => (subject.value = event.currentTarget.value)} />
    </>}</Tracing>
  </>;
}
