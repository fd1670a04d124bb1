/** The latest of what happens, newest first, for pages that show it as it comes. Drawn once a frame; what is older than
 * the limits is forgotten and counted. */
import { signal } from "@preact/signals";

export interface Kept<T> { number: number; size: number; value: T }

export class Tail<T> {
  readonly shown = signal<readonly Kept<T>[]>([]);
  readonly forgotten = signal(0);
  readonly held = signal(false);
  /** How many came while it is held. */
  readonly waiting = signal(0);
  private kept: Kept<T>[] = [];
  private size = 0;
  private lost = 0;
  private last = 0;
  private seen = 0;
  private frame = 0;

  constructor(private readonly most = 1000, private readonly mostBytes = 8 << 20) {}

  put(value: T, size = 0): void {
    this.kept.push({ number: ++this.last, size, value });
    this.size += size;
    while (this.kept.length > this.most || (this.size > this.mostBytes && this.kept.length > 1)) {
      this.size -= this.kept.shift()!.size;
      this.lost++;
    }
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  hold(held: boolean): void {
    this.held.value = held;
    this.draw();
  }

  clear(): void {
    this.kept = [];
    this.size = this.lost = 0;
    this.seen = this.last;
    this.shown.value = [];
    this.forgotten.value = this.waiting.value = 0;
  }

  private draw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.held.value) {
      this.waiting.value = this.last - this.seen;
      return;
    }
    this.seen = this.last;
    this.shown.value = this.kept.slice().reverse();
    this.forgotten.value = this.lost;
    this.waiting.value = 0;
  }
}

/** Whether the text of a value has all words, in any case of letters. */
export function hasWords(value: unknown, words: string): boolean {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return true;
  const text = Object.values(value as object).join(" ").toLowerCase();
  return wanted.every((word) => text.includes(word));
}
