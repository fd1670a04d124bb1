/** The rates of the last five minutes, for the strip that every page has. */
import { effect, signal } from "@preact/signals";
import { get } from "./api";
import { isCluster } from "./cluster";
import { listen, paused, type Rates } from "./live";
import { summed, type NodeRates } from "./rates";

const KEPT_S = 300;
const EVERY_MS = 5000;
export const traffic = signal<readonly Rates[]>([]);

let isStarted = false;

export function watchTraffic(): void {
  if (isStarted) return;
  isStarted = true;
  effect(() => {
    if (!isCluster.value) return listen<Rates>("rates", (sample) => {
      const since = sample.ts - KEPT_S;
      traffic.value = [...traffic.value.filter((one) => one.ts > since && one.ts < sample.ts), sample];
    });
    // The stream is of one node.
    const ask = async (): Promise<void> => {
      if (document.hidden || paused.value) return;
      const found = await get<NodeRates[]>("rates/seconds", { first: Math.floor(Date.now() / 1000) - KEPT_S }).catch(() => []);
      traffic.value = summed(found, 1).flatMap((one) => one.rates ?? []);
    };
    void ask();
    const timer = setInterval(() => void ask(), EVERY_MS);
    return () => clearInterval(timer);
  });
}
