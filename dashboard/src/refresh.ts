/** Asking the broker again and again, while the page is in sight.
 *
 * A new question ends the old one. After a failure 5, 10, 20, 40 s pass. P pauses everything; R asks at once. */
import { signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { Failure } from "./api";
import { paused } from "./live";

const BACKOFF_S = [5, 10, 20, 40];
/** Counts up with R. */
const byHand = signal(0);
export const refreshAll = (): void => void byHand.value++;

export interface Asked<T> {
  /** The last answer; stays while a later question fails. */
  data: T | undefined;
  /** Unix seconds of the last answer. */
  at: number;
  failure: Failure | undefined;
  /** Unix seconds of the next try after a failure; 0: by hand. */
  retryAt: number;
  asking: boolean;
  again: () => void;
}

/** `every`: seconds, or "hand". `ask` is called anew when `key` changes, which names all that the question holds; what
 * was known under another key is forgotten unless `keep`. */
export function useAsk<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<T>,
  { every = "hand", keep = false }: { every?: number | "hand"; keep?: boolean } = {},
): Asked<T> {
  type State = Omit<Asked<T>, "again">;
  const blank: State = { data: undefined, at: 0, failure: undefined, retryAt: 0, asking: true };
  const state = useSignal<State>(blank);
  const latest = useRef(ask);
  latest.current = ask;
  const start = useRef<() => void>(() => {});

  useEffect(() => {
    let stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    let due = 0;
    if (!keep) state.value = blank;

    const plan = (seconds: number): void => {
      due = Date.now() + seconds * 1000;
      clearTimeout(timer);
      timer = setTimeout(() => !document.hidden && !paused.value && void run(), seconds * 1000);
    };
    const run = async (): Promise<void> => {
      stop.abort();
      stop = new AbortController();
      const mine = stop;
      clearTimeout(timer);
      due = 0;
      state.value = { ...state.value, asking: true };
      try {
        const data = await latest.current(mine.signal);
        if (mine.signal.aborted) return;
        failures = 0;
        state.value = { data, at: Date.now() / 1000, failure: undefined, retryAt: 0, asking: false };
        if (every !== "hand") plan(every);
      } catch (error) {
        if (mine.signal.aborted) return;
        if (!(error instanceof Failure)) throw error;
        const again = error.kind === "lost" || error.kind === "busy" || error.kind === "server";
        const wait = BACKOFF_S[Math.min(failures++, BACKOFF_S.length - 1)]!;
        state.value = { ...state.value, failure: error, asking: false, retryAt: again ? Date.now() / 1000 + wait : 0 };
        if (again) plan(wait);
        else if (every !== "hand") plan(every * 4);
      }
    };
    const seen = (): void => {
      if (!document.hidden && !paused.value && due && due <= Date.now()) void run();
    };
    start.current = () => void run();
    document.addEventListener("visibilitychange", seen);
    const unpaused = paused.subscribe(seen);
    let first = true;
    const handed = byHand.subscribe(() => {
      if (!first) void run();
      first = false;
    });
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      unpaused();
      handed();
    };
  }, [key, every]);

  return { ...state.value, again: () => start.current() };
}
