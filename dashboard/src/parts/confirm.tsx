/** Asks before something is done: names the target and what follows. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { number, t } from "../text";
import { Dialog } from "./dialog";
import { toast } from "./toast";

interface Question {
  title: string;
  body?: ComponentChildren;
  /** What the button says. */
  verb: string;
  danger?: boolean;
  /** Must be typed first: the number of objects, or the filter that finds them. */
  typed?: string;
}

type Open = Question & { answer: (yes: boolean) => void };
const open = signal<Open | null>(null);
const results = signal<{ title: string; rows: Result[] } | null>(null);

export interface Result { name: string; failure: string | null }

/** More objects than this are only changed after their number was typed. */
export const MANY = 100;

export function confirm(question: Question): Promise<boolean> {
  return new Promise((answer) => {
    open.value = { ...question, answer: (yes) => {
      open.value = null;
      answer(yes);
    } };
  });
}

/** Asks, and then does `run` for each target, a few at a time; failures are shown row by row. Gives whether it was done. */
export async function batch<T>(targets: readonly T[], act: Omit<Question, "typed"> & {
  name: (target: T) => string;
  run: (target: T) => Promise<unknown>;
  done: string;
  undo?: () => Promise<unknown>;
}): Promise<boolean> {
  const typed = targets.length > MANY ? String(targets.length) : undefined;
  if (!await confirm({ ...act, typed })) return false;
  const rows: Result[] = [];
  const left = [...targets];
  const work = async (): Promise<void> => {
    for (let target = left.shift(); target !== undefined; target = left.shift()) {
      const name = act.name(target);
      rows.push(await act.run(target).then(() => ({ name, failure: null }),
        (error: Error) => ({ name, failure: error.message })));
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  if (rows.some((row) => row.failure)) results.value = { title: act.title, rows };
  else toast(act.done, { undo: act.undo });
  return true;
}

function Ask({ title, body, verb, danger, typed, answer }: Open) {
  const [given, give] = useState("");
  return <Dialog title={title} close={() => answer(false)}>
    <form onSubmit={(event) => {
      event.preventDefault();
      answer(true);
    }}>
      {body}
      {typed !== undefined && <label class="field">
        <span class="label">{t("confirm.type", { typed })}</span>
        <input class="mono" value={given} autoComplete="off" onInput={(event) => give(event.currentTarget.value)} />
      </label>}
      <div class="actions">
        <button type="button" onClick={() => answer(false)}>{t("confirm.cancel")}</button>
        <button class={danger ? "danger" : "main"} disabled={typed !== undefined && given !== typed}>{verb}</button>
      </div>
    </form>
  </Dialog>;
}

/** Drawn once, by the frame. */
export function Confirmations() {
  const shown = results.value;
  return <>
    {open.value && <Ask {...open.value} />}
    {shown && <Dialog title={shown.title} close={() => (results.value = null)}>
      <p>{t("confirm.results", { done: shown.rows.filter((row) => !row.failure).length, all: number(shown.rows.length) })}</p>
      <div class="table" tabIndex={0} role="region" aria-label={shown.title}><table><tbody>
        {shown.rows.filter((row) => row.failure).map((row) =>
          <tr key={row.name}><td><code>{row.name}</code></td><td class="bad">{row.failure}</td></tr>)}
      </tbody></table></div>
      <div class="actions"><button class="main" onClick={() => (results.value = null)}>{t("confirm.close")}</button></div>
    </Dialog>}
  </>;
}
