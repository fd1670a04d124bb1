/** A dialog of fields; it stays, with the server's sentence, until what it asks for is done. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../text";
import { Dialog } from "./dialog";

interface Props {
  title: string;
  verb: string;
  close: () => void;
  /** `given`: the text of a field by its name; "" for a box that is not ticked. */
  run: (given: (name: string) => string) => Promise<unknown>;
  children: ComponentChildren;
}

export function FormDialog({ title, verb, close, run, children }: Props) {
  const [said, say] = useState("");
  const [isBusy, busy] = useState(false);
  return <Dialog title={title} close={close}>
    <form onSubmit={(event) => {
      event.preventDefault();
      const fields = new FormData(event.currentTarget);
      busy(true);
      run((name) => String(fields.get(name) ?? "")).then(close, (error: Error) => {
        say(error.message);
        busy(false);
      });
    }}>
      {children}
      {said && <p class="bad" role="alert">{said}</p>}
      <div class="actions">
        <button type="button" onClick={close}>{t("confirm.cancel")}</button>
        <button class="main" disabled={isBusy}>{verb}</button>
      </div>
    </form>
  </Dialog>;
}

interface FieldProps {
  name: string;
  label: string;
  type?: "text" | "password" | "number" | "date";
  value?: string;
  required?: boolean;
  hint?: string;
}

export function TextField({ name, label, type = "text", value, required, hint }: FieldProps) {
  return <label class="field"><span class="label">{label}</span>
    <input name={name} type={type as "text"} defaultValue={value} required={required} spellcheck={false}
      autoComplete={type === "password" ? "new-password" : "off"} />
    {hint && <span class="label">{hint}</span>}</label>;
}

export function ChoiceField({ name, label, value, choices }: { name: string; label: string; value: string; choices: readonly (readonly [string, string])[] }) {
  return <label class="field"><span class="label">{label}</span>
    <select name={name} defaultValue={value}>{choices.map(([one, word]) => <option key={one} value={one} selected={one === value}>{word}</option>)}</select></label>;
}

export function CheckField({ name, label, on }: { name: string; label: string; on: boolean }) {
  return <label class="field"><input name={name} type="checkbox" value="on" defaultChecked={on} /> {label}</label>;
}
