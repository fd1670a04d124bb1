/** Times and amounts as people read them. Times of the API are unix seconds (members `…_ts`). */
import { signal } from "@preact/signals";
import { zone } from "./preferences";
import { language, number, t } from "./text";

/** Unix seconds, each second while the page is in sight. */
export const now = signal(Date.now() / 1000);
setInterval(() => {
  if (!document.hidden) now.value = Date.now() / 1000;
}, 1000);

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(language.value === "zh" ? "zh-CN" : "en-GB", {
    hourCycle: "h23", timeZone: zone.value === "utc" ? "UTC" : undefined, ...options });
}

export function clock(ts: number): string {
  return format({ hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(ts * 1000);
}

export function absolute(ts: number): string {
  return format({ dateStyle: "medium", timeStyle: "long" }).format(ts * 1000);
}

/** The clock for times less than a day away, else the date with it. */
export function when(ts: number): string {
  return Math.abs(now.value - ts) < 86_400 ? clock(ts)
    : format({ dateStyle: "short", timeStyle: "short" }).format(ts * 1000);
}

export function zoneName(): string {
  return zone.value === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** "4 min", "2 d 3 h". */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [d, h, m] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (d) return t("span.days", { d, h });
  if (h) return t("span.hours", { h, m });
  return m ? t("span.minutes", { m }) : t("span.seconds", { s: whole });
}

/** 27,310 as it is; 1,234,567 as "1.2M". */
export function figure(value: number): string {
  if (Math.abs(value) < 100_000) return number(value, Math.abs(value) < 10 ? 1 : 0);
  return new Intl.NumberFormat(language.value, { notation: "compact", maximumFractionDigits: 1 }).format(value);
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  return `${number(value / 1024 ** power, power ? 1 : 0)} ${UNITS[power]}`;
}
