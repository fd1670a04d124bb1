/** Copies a text; over plain http there is no clipboard, and the text is selected in a field instead. */
import { useState } from "preact/hooks";
import { t } from "../text";
import { Dialog } from "./dialog";
import { Icon } from "./icon";
import { toast } from "./toast";

export function Copy({ text, label }: { text: string; label?: string }) {
  const [shown, show] = useState(false);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      toast(t("copy.done"));
    } catch {
      show(true);
    }
  };
  return <>
    <button type="button" class="plain" title={t("copy")} aria-label={t("copy")} onClick={() => void copy()}>
      <Icon name="copy" />{label && ` ${label}`}</button>
    {shown && <Dialog title={t("copy.by-hand")} close={() => show(false)}>
      <textarea class="mono" readOnly rows={5} value={text} aria-label={t("copy.by-hand")} ref={(field) => field?.select()} />
      <div class="actions"><button onClick={() => show(false)}>{t("confirm.close")}</button></div>
    </Dialog>}
  </>;
}

/** Saves bytes as a file of the browser. */
export function save(name: string, bytes: BlobPart, type = "application/octet-stream"): void {
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
