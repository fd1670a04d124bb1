/** The nodes of the cluster: which there are, which do not answer, and how far their clocks are apart. */
import { computed, signal } from "@preact/signals";
import { get, silent } from "./api";
import { session } from "./session";

interface Member { name: string; node_status: string; datetime_ts?: number }

const EVERY_MS = 30_000;
/** Seconds between two clocks that are worth a notice. */
export const APART_S = 2;

const members = signal<readonly Member[]>([]);

export const nodes = computed<readonly string[]>(() =>
  [...new Set([...session.value?.nodes ?? [], ...members.value.map((one) => one.name)])].sort());
export const isCluster = computed(() => nodes.value.length > 1);

/** Seconds between the fastest clock and the slowest. */
export const apart = computed(() => {
  const times = members.value.flatMap((one) => (one.datetime_ts === undefined ? [] : [one.datetime_ts]));
  return times.length ? Math.max(...times) - Math.min(...times) : 0;
});

async function ask(): Promise<void> {
  if (document.hidden || !session.value?.username) return;
  silent.value = new Set();
  try {
    const rows = await get<Member[]>("nodes/");
    members.value = rows;
    const stopped = rows.filter((one) => one.node_status !== "Running").map((one) => one.name);
    silent.value = new Set([...silent.value, ...stopped]);
  } catch { /* each page says what is lost */ }
}

let isStarted = false;

export function watchNodes(): void {
  if (isStarted) return;
  isStarted = true;
  void ask();
  setInterval(() => void ask(), EVERY_MS);
}
