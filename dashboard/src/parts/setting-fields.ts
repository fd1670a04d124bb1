/** Rows of settings as the API gives them, as fields of a form. */
import type { Field } from "./form";
import { isOn, type Kind } from "./kinds";

/** `kind` and what goes with it is there where the broker tells it; `datatpye` is spelt as v3 spells it. */
export interface SettingRow extends Partial<Omit<Field, "key" | "value" | "kind" | "low" | "high">> {
  key: string;
  value: string;
  /** The value in effect, where `value` is only what was given. */
  shown?: string;
  kind?: string;
  datatpye?: string;
  low?: number | null;
  high?: number | null;
}

const KINDS: readonly string[] = ["flag", "enum", "integer", "number", "duration", "bytesize", "percent", "ip", "string", "secret"] satisfies Kind[];

export function fieldOf(row: SettingRow): Field {
  const told = row.kind ?? (row.datatpye === "float" ? "number" : row.datatpye) ?? "string";
  const kind = KINDS.includes(told) && (told !== "enum" || row.choices?.length) ? (told as Kind) : "string";
  const value = row.shown ?? row.value;
  return { ...row, kind, value: kind === "flag" ? (isOn(value) ? "on" : "off") : value, low: row.low ?? undefined, high: row.high ?? undefined,
    // The broker's "bytes" are B in a value.
    unit: kind === "bytesize" ? "B" : row.unit || (kind === "duration" ? "s" : undefined) };
}
