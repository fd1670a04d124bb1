/** A form made of the kinds of settings; the server's sentence stands below the field that it names. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { t } from "../text";
import { confirm } from "./confirm";
import { isOn, join, split, UNITS, type Kind } from "./kinds";

export interface Field {
  key: string;
  value: string;
  kind: Kind;
  desc?: string;
  choices?: readonly string[];
  low?: number;
  high?: number;
  unit?: string;
  default?: string;
  hot?: boolean;
  secret?: boolean;
  /** Where the value is from: what the environment or a file sets cannot be changed here. */
  source?: "default" | "file" | "environment" | "stored";
}

interface Props {
  fields: readonly Field[];
  readOnly?: boolean;
  /** What follows from a change: "takes effect now" or "restarts emqx_retainer". */
  effect: (field: Field) => string;
  /** Gives what the server said for each key; null: it took it. */
  save: (changes: Record<string, string>) => Promise<Record<string, string | null>>;
  takeBack?: (field: Field) => Promise<unknown>;
}

export function SettingsForm({ fields, readOnly, effect, save, takeBack }: Props) {
  const changes = useSignal<Record<string, string>>({});
  const said = useSignal<Record<string, string | null>>({});
  const saving = useSignal(false);
  const set = (field: Field, value: string): void => {
    const { [field.key]: _, ...rest } = changes.value;
    changes.value = value === field.value && !field.secret ? rest : { ...rest, [field.key]: value };
  };
  const changed = fields.filter((field) => field.key in changes.value);
  const submit = async (): Promise<void> => {
    const isSure = await confirm({ title: t("form.save", { n: changed.length }), verb: t("form.save-now"),
      body: <Changes fields={changed} changes={changes.value} effect={effect} /> });
    if (!isSure) return;
    saving.value = true;
    try {
      said.value = await save(changes.value);
      changes.value = Object.fromEntries(Object.entries(changes.value).filter(([key]) => said.value[key]));
    } finally {
      saving.value = false;
    }
  };
  return <form onSubmit={(event) => {
    event.preventDefault();
    void submit();
  }}>
    {fields.map((field) => <Row key={field.key} field={field} said={said.value[field.key] ?? null}
      value={changes.value[field.key] ?? field.value} isTouched={field.key in changes.value} set={(value) => set(field, value)}
      fixed={readOnly || field.source === "environment"} takeBack={takeBack} />)}
    {!readOnly && <div class="row" style={{ paddingTop: "12px" }}>
      <button class="main" disabled={!changed.length || saving.value}>{t("form.save", { n: changed.length })}</button>
      {changed.length > 0 && <button type="button" onClick={() => (changes.value = {})}>{t("form.drop")}</button>}
    </div>}
  </form>;
}

function Changes({ fields, changes, effect }: { fields: Field[]; changes: Record<string, string>; effect: (field: Field) => string }) {
  return <div class="table" tabIndex={0} role="region" aria-label={t("form.changes")}><table>
    <thead><tr>{(["form.key", "form.old", "form.new", "form.effect"] as const).map((key) => <th scope="col" key={key}>{t(key)}</th>)}</tr></thead>
    <tbody>{fields.map((field) => <tr key={field.key}>
      <td><code>{field.key}</code></td><td><code>{field.secret ? "******" : field.value}</code></td>
      <td><code>{field.secret ? "******" : changes[field.key]}</code></td><td>{effect(field)}</td></tr>)}</tbody>
  </table></div>;
}

interface RowProps {
  field: Field;
  value: string;
  isTouched: boolean;
  fixed: boolean;
  said: string | null;
  set: (value: string) => void;
  takeBack?: (field: Field) => Promise<unknown>;
}

function Row({ field, value, isTouched, fixed, said, set, takeBack }: RowProps) {
  const id = useId();
  return <div class="form-row">
    <label class="name" for={id}>{field.key}{isTouched && <span class="warn"> •<span class="hidden">{t("form.changed")}</span></span>}</label>
    <div class="control">{fixed ? <code id={id}>{field.secret ? "******" : value}</code>
      : <Control id={id} field={field} value={value} isTouched={isTouched} set={set} />}</div>
    <div>
      {field.desc}
      <div class="label">
        {field.default !== undefined && t("form.default", { value: field.default || "—" })}
        {field.source === "environment" && <> · {t("form.environment")}</>}
        {field.source === "stored" && takeBack && !fixed && <> · {t("form.stored")}{" "}
          <button type="button" class="link" onClick={() => void takeBack(field)}>{t("form.take-back")}</button></>}
      </div>
    </div>
    {said && <div class="said bad" role="alert">{said}</div>}
  </div>;
}

function Control({ id, field, value, isTouched, set }: Pick<RowProps, "field" | "value" | "isTouched" | "set"> & { id: string }): ComponentChildren {
  const { kind, choices = [], low, high } = field;
  if (field.secret || kind === "secret")
    return <input id={id} type="password" autoComplete="new-password" placeholder="******" value={isTouched ? value : ""}
      onInput={(event) => set(event.currentTarget.value)} />;
  if (kind === "flag")
    return <input id={id} type="checkbox" role="switch" checked={isOn(value)} onChange={(event) => set(event.currentTarget.checked ? "on" : "off")} />;
  if (kind === "enum")
    return <select id={id} value={value} onChange={(event) => set(event.currentTarget.value)}>
      {choices.map((one) => <option key={one} value={one}>{one}</option>)}</select>;
  if (kind === "integer" || kind === "number")
    return <input id={id} type="number" step={kind === "integer" ? 1 : "any"} min={low} max={high} value={value}
      onInput={(event) => set(event.currentTarget.value)} />;
  const units = UNITS[kind];
  const parts = units && split(kind, value, field.unit ?? units[0]!);
  if (units && parts)
    return <>
      <input id={id} type="number" step="any" value={parts.amount} onInput={(event) => set(join(event.currentTarget.value, parts.unit))} />
      <select aria-label={t("form.unit")} value={parts.unit} onChange={(event) => set(join(parts.amount, event.currentTarget.value))}>
        {units.map((one) => <option key={one} value={one}>{one}</option>)}</select>
    </>;
  return <input id={id} class="mono" value={value} spellcheck={false} onInput={(event) => set(event.currentTarget.value)} />;
}
