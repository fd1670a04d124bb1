/** Short news of what was done, with Undo where there is one. */
import { signal } from "@preact/signals";
import { t } from "../text";

interface Toast { id: number; text: string; bad: boolean; undo?: () => Promise<unknown> }
const toasts = signal<Toast[]>([]);
let last = 0;

const FOR_MS = 8_000;
const UNDO_MS = 30_000;

const remove = (id: number): void => void (toasts.value = toasts.value.filter((one) => one.id !== id));

export function toast(text: string, { undo, bad = false }: { undo?: () => Promise<unknown>; bad?: boolean } = {}): void {
  const id = ++last;
  toasts.value = [...toasts.value.slice(-4), { id, text, bad, undo }];
  setTimeout(() => remove(id), undo ? UNDO_MS : FOR_MS);
}

/** What failed, in the server's words. */
export function complain(error: unknown): void {
  toast(error instanceof Error ? error.message : String(error), { bad: true });
}

export function Toasts() {
  return <div class="toasts" role="status">
    {toasts.value.map(({ id, text, bad, undo }) => <div class={`toast ${bad ? "bad" : ""}`} key={id}>
      <span>{text}</span>
      {undo && <button onClick={() => {
        remove(id);
        undo().catch(complain);
      }}>{t("toast.undo")}</button>}
    </div>)}
  </div>;
}
