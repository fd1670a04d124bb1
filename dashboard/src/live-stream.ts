/** One EventSource for all that want events: it has the kinds of all of them together, and is closed while nobody
 * wants any. Runs in the SharedWorker, or in the window where there is none. */

export type LiveState = "idle" | "asking" | "live" | "lost";
export type Said = { state: LiveState; retryAt?: number } | { kind: string; news: unknown };
/** What a window sends: the kinds it wants now, and where they come from; `again`: somebody has logged in. */
export interface Wanted { wants: string[]; url: string; again?: boolean }

const BACKOFF_S = [5, 10, 20, 40];
const SILENT_MS = 90_000;

interface Listener { wants: string[]; tell: (said: Said) => void; seen: number }

export class LiveStream {
  private listeners = new Map<unknown, Listener>();
  private source: EventSource | null = null;
  private kinds = "";
  private url = "";
  private state: Said & { state: LiveState } = { state: "idle" };
  private failures = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    // Windows that ended without a word.
    setInterval(() => {
      for (const [id, one] of this.listeners) if (one.seen < Date.now() - SILENT_MS) this.listeners.delete(id);
      this.settle();
    }, SILENT_MS / 3);
  }

  listen(id: unknown, wanted: Wanted, tell: (said: Said) => void): void {
    const isNew = !this.listeners.has(id);
    this.listeners.set(id, { wants: wanted.wants, tell, seen: Date.now() });
    this.url = wanted.url;
    if (wanted.again) {
      this.failures = 0;
      this.close();
    }
    this.settle();
    if (isNew) tell(this.state);
  }

  leave(id: unknown): void {
    this.listeners.delete(id);
    this.settle();
  }

  private settle(): void {
    const kinds = [...new Set([...this.listeners.values()].flatMap((one) => one.wants))].sort().join(",");
    if (kinds === this.kinds && (this.source || this.timer || !kinds)) return;
    this.close();
    this.kinds = kinds;
    if (kinds) this.open();
    else this.say({ state: "idle" });
  }

  private open(): void {
    this.timer = undefined;
    this.say({ state: "asking" });
    const source = new EventSource(`${this.url}?types=${this.kinds}`);
    this.source = source;
    source.onopen = () => {
      this.failures = 0;
      this.say({ state: "live" });
    };
    source.onerror = () => {
      // The browser would try again by itself after some causes and not after others: here it is always the same.
      this.close();
      const wait = BACKOFF_S[Math.min(this.failures++, BACKOFF_S.length - 1)]! * 1000;
      this.timer = setTimeout(() => this.open(), wait);
      this.say({ state: "lost", retryAt: Date.now() + wait });
    };
    for (const kind of this.kinds.split(",")) {
      source.addEventListener(kind, (event) => {
        const said = { kind, news: JSON.parse((event as MessageEvent<string>).data) as unknown };
        for (const one of this.listeners.values()) if (one.wants.includes(kind)) one.tell(said);
      });
    }
  }

  private close(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.source?.close();
    this.source = null;
  }

  private say(state: Said & { state: LiveState }): void {
    this.state = state;
    for (const one of this.listeners.values()) one.tell(state);
  }
}
