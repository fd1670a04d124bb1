/** The view is in the address behind `#`: `#/place?filter=…&page=2&node=…`. */
import { computed, signal } from "@preact/signals";

export interface View {
  place: string;
  query: URLSearchParams;
}

export type Query = Record<string, string | number | undefined | null>;

const read = (): View => {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { place: path || "overview", query: new URLSearchParams(query) };
};

export const view = signal<View>(read());
export const place = computed(() => view.value.place);

addEventListener("hashchange", () => (view.value = read()));

function text(query: URLSearchParams): string {
  const written = query.toString();
  return written ? `?${written}` : "";
}

/** The node that is chosen goes along from place to place. */
export function href(to: string, query: Query = {}): string {
  const node = view.value.query.get("node");
  return `#/${to}${text(changed(new URLSearchParams(node === null ? "" : { node }), query))}`;
}

export function go(to: string, query: Query = {}): void {
  location.hash = href(to, query);
}

function changed(query: URLSearchParams, change: Query): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(change)) {
    if (value === undefined || value === null || value === "") next.delete(name);
    else next.set(name, String(value));
  }
  return next;
}

/** A member of the view; reading it in a component draws that again when it changes. */
export function param(name: string): string {
  return view.value.query.get(name) ?? "";
}

/** Changes members of the view in its place; without a step in the browser's history while someone types. */
export function setParams(change: Query, { step = false } = {}): void {
  const next = `#/${view.value.place}${text(changed(view.value.query, change))}`;
  if (next === location.hash) return;
  history[step ? "pushState" : "replaceState"](null, "", next);
  view.value = read();
}
