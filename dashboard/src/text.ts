/** The texts of the chosen language. In a text, `{name}` is a value and `{name?one|other}` a word for a number. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import type { Key } from "./generated/keys";
import { stored } from "./preferences";

export type { Key };
export type Values = Record<string, string | number>;

const LANGUAGES = { en: () => import("./generated/en.json"), zh: () => import("./generated/zh.json") };
export type Language = keyof typeof LANGUAGES;

const preferred = (): Language => (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

export const chosenLanguage = stored<Language | "">("language", "");
export const language = signal<Language>("en");
const texts = signal<Record<string, string>>({});

/** Loads the texts; nothing is drawn before. */
export async function speak(chosen: Language = chosenLanguage.value || preferred()): Promise<void> {
  const { default: loaded } = await LANGUAGES[chosen]();
  texts.value = loaded;
  language.value = chosen;
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : chosen;
}

const PLACEHOLDER = /\{(\w+)(?:\?([^|}]*)\|([^}]*))?\}/g;

export function t(key: Key, values: Values = {}): string {
  return (texts.value[key] ?? key).replace(PLACEHOLDER, (_, name: string, one?: string, other?: string) => {
    const value = values[name] ?? "";
    if (one === undefined) return typeof value === "number" ? number(value) : value;
    return new Intl.PluralRules(language.value).select(Number(value)) === "one" ? one : (other ?? "");
  });
}

/** The same with elements for some of the values. */
export function rich(key: Key, elements: Record<string, ComponentChildren>): ComponentChildren[] {
  return (texts.value[key] ?? key).split(/(\{\w+\})/).map((piece) =>
    piece.startsWith("{") ? elements[piece.slice(1, -1)] : piece);
}

/** For reasons, alarm ids and other words of the server: their translation, or as they are. */
export function known(prefix: string, word: string): string {
  return texts.value[`${prefix}.${word}`] ?? word;
}

const formats = new Map<string, Intl.NumberFormat>();

export function number(value: number, digits = 0): string {
  const id = `${language.value} ${digits}`;
  let format = formats.get(id);
  if (!format) formats.set(id, (format = new Intl.NumberFormat(language.value, { maximumFractionDigits: digits })));
  return format.format(value);
}
