/** The rates of the last five minutes, for the strip that every page has. */
import { signal } from "@preact/signals";
import { listen, type Rates } from "./live";

const KEPT_S = 300;
export const traffic = signal<readonly Rates[]>([]);

let isStarted = false;

export function watchTraffic(): void {
  if (isStarted) return;
  isStarted = true;
  listen<Rates>("rates", (sample) => {
    const since = sample.ts - KEPT_S;
    traffic.value = [...traffic.value.filter((one) => one.ts > since && one.ts < sample.ts), sample];
  });
}
