/** The history of the rates: asked for once, then kept fresh by the stream, or by asking again where it is of several
 * nodes or by the minute. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "./api";
import { isCluster } from "./cluster";
import { useLive, type Rates } from "./live";
import { useAsk, type Asked } from "./refresh";

export type Measure = Exclude<keyof Rates, "ts">;
/** By time, rising; null: nobody knows. */
export type History = readonly { ts: number; rates: Rates | null }[];
export interface NodeRates { node: string; rates: readonly Rates[] }

export const SPANS = { "10m": 600, "1h": 3600, "24h": 86_400, "7d": 604_800 } as const;
export type Span = keyof typeof SPANS;
/** A node that has said nothing for so many steps leaves a gap, never a zero. */
const SILENT_STEPS = 3;

const bySecond = (span: Span): boolean => SPANS[span] <= 3600;

function added(one: Rates, other: Rates): Rates {
  const sum = { ...one };
  for (const name of Object.keys(one) as (keyof Rates)[]) if (name !== "ts") sum[name] += other[name];
  return sum;
}

/** The nodes' rates by time; `step`: seconds between two. */
export function summed(nodes: readonly NodeRates[], step: number): History {
  const times = [...new Set(nodes.flatMap((node) => node.rates.map((one) => one.ts)))].sort((a, b) => a - b);
  const places = nodes.map(() => -1);
  const history: { ts: number; rates: Rates | null }[] = [];
  for (const ts of times) {
    const before = history.at(-1);
    if (before && ts - before.ts > SILENT_STEPS * step) history.push({ ts: before.ts + step, rates: null });
    let rates: Rates | null | undefined;
    nodes.forEach((node, index) => {
      while ((node.rates[places[index]! + 1]?.ts ?? Infinity) <= ts) places[index]!++;
      const latest = node.rates[places[index]!];
      if (!latest || rates === null) return;
      if (ts - latest.ts > SILENT_STEPS * step) rates = null;
      else rates = rates ? added(rates, latest) : { ...latest, ts };
    });
    history.push({ ts, rates: rates ?? null });
  }
  return history;
}

export function valuesOf(history: History, measure: Measure): (number | null)[] {
  return history.map(({ rates }) => (rates ? rates[measure] : null));
}

/** Of one node, or of all where `node` is "". */
export function useRates(span: Span, node: string): Asked<readonly NodeRates[]> & { history: History } {
  const isByStream = bySecond(span) && !isCluster.value;
  const every = isByStream ? "hand" : bySecond(span) ? 5 : 60;
  const asked = useAsk(`rates ${span} ${node}`, async (signal) => {
    const found = await get<NodeRates[]>(`rates/${bySecond(span) ? "seconds" : "minutes"}`,
      { first: Math.floor(Date.now() / 1000) - SPANS[span] }, signal);
    return node ? found.filter((one) => one.node === node) : found;
  }, { every });
  const later = useSignal<readonly Rates[]>([]);
  useEffect(() => void (later.value = []), [asked.data]);
  useLive<Rates>("rates", (sample) => {
    if (isByStream) later.value = [...later.value.slice(-SPANS[span]), sample];
  });
  useEffect(() => {
    // What came while the window was hidden is not in the stream.
    const seen = (): void => {
      if (!document.hidden && isByStream) asked.again();
    };
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, [span, node, isByStream]);

  const nodes = asked.data ?? [];
  const last = nodes[0]?.rates.at(-1)?.ts ?? 0;
  const whole = isByStream && nodes[0]
    ? [{ ...nodes[0], rates: [...nodes[0].rates, ...later.value.filter((one) => one.ts > last)] }] : nodes;
  const newest = Math.max(0, ...whole.map((one) => one.rates.at(-1)?.ts ?? 0));
  const history = summed(whole, bySecond(span) ? 1 : 60).filter((one) => one.ts > newest - SPANS[span]);
  return { ...asked, history };
}
