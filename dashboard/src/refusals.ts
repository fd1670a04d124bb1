/** Clients that were refused since this page was opened: by node, client and reason, the latest last. */
import { signal } from "@preact/signals";
import { listen } from "./live";

export interface Refusal { node: string; client_id: string; username: string | null; code: number; ts: number; times: number }

const MOST = 100;
export const refusals = signal<readonly Refusal[]>([]);

let isStarted = false;

export function watchRefusals(): void {
  if (isStarted) return;
  isStarted = true;
  listen<Omit<Refusal, "times">>("refused", (news) => {
    const isSame = (one: Refusal): boolean => one.node === news.node && one.code === news.code && one.client_id === news.client_id;
    const times = (refusals.value.find(isSame)?.times ?? 0) + 1;
    refusals.value = [...refusals.value.filter((one) => !isSame(one)), { ...news, times }].slice(-MOST);
  });
}
