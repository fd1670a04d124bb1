/** What the side list counts: alarms that stand, and slow subscribers. */
import { computed, effect, signal } from "@preact/signals";
import { get } from "./api";
import { listen, liveState, paused } from "./live";
import { session } from "./session";

export interface Alarm {
  id: string;
  severity: "notice" | "warning" | "error" | "critical";
  title: string;
  summary: string;
  timestamp: string;
  timestamp_ts?: number;
}
interface NodeAlarms { node: string; alarms: Alarm[] }

const byNode = signal<readonly NodeAlarms[]>([]);
export const slowCount = signal(0);
export const standing = computed(() => byNode.value.flatMap(({ node, alarms }) => alarms.map((alarm) => ({ ...alarm, node }))));

async function ask(): Promise<void> {
  if (!session.value?.username) return;
  const [alarms, slow] = await Promise.allSettled([get<NodeAlarms[]>("alarms/present"),
    get<{ meta: { count?: number } }>("slow_subscribers/", { _limit: 1 })]);
  if (alarms.status === "fulfilled") byNode.value = alarms.value;
  if (slow.status === "fulfilled") slowCount.value = slow.value.meta?.count ?? 0;
}

/** Nothing tells of a subscriber that becomes slow. */
const EVERY_MS = 15_000;
let isStarted = false;

export function watchStanding(): void {
  if (isStarted) return;
  isStarted = true;
  listen("alarm_raised", () => void ask());
  listen("alarm_cleared", () => void ask());
  setInterval(() => !document.hidden && !paused.value && void ask(), EVERY_MS);
  effect(() => {
    // Also after a time without the stream.
    if (liveState.value === "live") void ask();
  });
}
