/** What a page that shows events as they come offers: filter words, pause, clear, save as JSON lines. */
import { number, t } from "../text";
import { hasWords, type Kept, type Tail } from "../tail";
import { param, setParams } from "../url";
import { useKey } from "../keys";
import { useRef } from "preact/hooks";
import { save } from "./copy";
import { Icon } from "./icon";

/** The rows that the words in the address leave. */
export function chosenOf<T>(tail: Tail<T>): readonly Kept<T>[] {
  const words = param("words");
  return words ? tail.shown.value.filter(({ value }) => hasWords(value, words)) : tail.shown.value;
}

export function TailBar<T>({ tail, file }: { tail: Tail<T>; file: string }) {
  const field = useRef<HTMLInputElement>(null);
  useKey("/", () => field.current?.select());
  const rows = chosenOf(tail);
  const held = tail.held.value;
  const lines = (): string => rows.map(({ value }) => `${JSON.stringify(value)}\n`).reverse().join("");
  return <div class="row" role="search">
    <input ref={field} type="search" size={28} placeholder={t("tail.words")} aria-label={t("tail.words")} value={param("words")}
      spellcheck={false} onInput={(event) => setParams({ words: event.currentTarget.value })} />
    <button aria-pressed={held} onClick={() => tail.hold(!held)}><Icon name={held ? "play" : "pause"} /> {t(held ? "tail.go-on" : "tail.hold")}</button>
    <button onClick={() => tail.clear()}>{t("tail.clear")}</button>
    <button disabled={!rows.length} onClick={() => save(file, lines(), "application/x-ndjson")}><Icon name="download" /> {t("tail.save")}</button>
    <span class="quiet">{t("tail.shown", { n: number(rows.length), all: tail.shown.value.length })}
      {tail.waiting.value > 0 && ` · ${t("tail.waiting", { n: tail.waiting.value })}`}
      {tail.forgotten.value > 0 && ` · ${t("tail.forgotten", { n: tail.forgotten.value })}`}</span>
  </div>;
}
