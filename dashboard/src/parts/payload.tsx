/** The payload of a message. The view that someone chose for a topic is remembered. */
import { useEffect, useState } from "preact/hooks";
import { stored } from "../preferences";
import { t } from "../text";
import { bytes as amount } from "../time";
import { Copy, save } from "./copy";
import { Icon } from "./icon";
import { asCbor, asHex, asJson, asProtobuf, asText, LIMITS, suggested, type PayloadView } from "./payload-views";

const VIEWS = ["text", "json", "hex", "cbor", "protobuf"] as const;
/** By topic, the latest last. */
const chosen = stored<[string, PayloadView][]>("payload-views", []);
const REMEMBERED = 100;

export function Payload({ bytes, topic = "" }: { bytes: Uint8Array<ArrayBuffer>; topic?: string }) {
  const remembered = chosen.value.find(([one]) => one === topic)?.[1];
  const [view, setView] = useState<PayloadView | null>(remembered ?? null);
  const [shown, setShown] = useState<string | null>("");
  const [isLargeWanted, wantLarge] = useState(false);
  const isTooLarge = bytes.length > LIMITS.shown;
  const isLarge = bytes.length > LIMITS.text && !isLargeWanted;

  useEffect(() => {
    let isCurrent = true;
    if (isTooLarge || isLarge) return;
    void (async () => {
      const now = view ?? await suggested(bytes);
      const text = now === "cbor" ? await asCbor(bytes) : now === "protobuf" ? await asProtobuf(bytes) : { text: asText, json: asJson, hex: asHex }[now](bytes);
      if (!isCurrent) return;
      setView(now);
      setShown(text);
    })();
    return () => void (isCurrent = false);
  }, [bytes, view, isLarge]);

  const choose = (one: PayloadView): void => {
    setView(one);
    chosen.value = [...chosen.value.filter(([name]) => name !== topic), [topic, one] as [string, PayloadView]].slice(-REMEMBERED);
  };
  return <div class="payload">
    <div class="row">
      <div class="segments" role="group" aria-label={t("payload.view")}>
        {VIEWS.map((one) => <button key={one} type="button" aria-pressed={view === one} onClick={() => choose(one)}>
          {{ text: t("payload.text"), json: "JSON", hex: "Hex", cbor: "CBOR", protobuf: "Protobuf" }[one]}</button>)}
      </div>
      <span class="quiet">{amount(bytes.length)}</span>
      <span class="spread" />
      {shown !== null && !isLarge && !isTooLarge && <Copy text={shown} />}
      <button type="button" class="plain" title={t("payload.save")} aria-label={t("payload.save")}
        onClick={() => save("payload.bin", bytes)}><Icon name="download" /></button>
    </div>
    {isTooLarge ? <p>{t("payload.too-large")}</p>
      : isLarge ? <p>{t("payload.large")} <button class="link" onClick={() => wantLarge(true)}>{t("payload.show")}</button></p>
        : bytes.length === 0 ? <p class="quiet">{t("payload.empty")}</p>
          : shown === null ? <p class="warn">{t("payload.no-fit")}</p>
            : <pre tabIndex={0}>{shown}</pre>}
  </div>;
}
