/** What a list or panel shows while it has nothing, or nothing fresh: asking, refused, lost, missing, and empty. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Asked } from "../refresh";
import { now } from "../time";
import { number, t } from "../text";
import { Age } from "./age";

/** Grey lines, after 300 ms: what is there sooner does not flash. */
export function Skeleton({ lines = 5 }: { lines?: number }) {
  const [isDue, due] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => due(true), 300);
    return () => clearTimeout(timer);
  }, []);
  return <div class="skeleton" role="status">
    <span class="hidden">{t("state.asking")}</span>
    {isDue && Array.from({ length: lines }, (_, line) => <i key={line} />)}
  </div>;
}

/** The failure of a question, in the server's words. */
export function FailureLine({ asked }: { asked: Asked<unknown> }) {
  const { failure, retryAt, at } = asked;
  if (!failure) return null;
  const left = Math.max(0, Math.round(retryAt - now.value));
  return <div class={`state-line ${failure.kind === "lost" ? "bad" : ""}`} role="alert">
    {failure.message}{" "}
    {failure.kind === "refused" ? t("state.refused") : null}
    {at ? <>{t("state.last")} <Age at={at} bad />. </> : null}
    {retryAt ? <span aria-live="off">{t("state.retry", { s: left })} </span> : null}
    <button class="link" onClick={asked.again}>{t("state.again")}</button>
  </div>;
}

/** Nodes that did not answer. */
export function Partly({ nodes }: { nodes: readonly string[] }) {
  return nodes.length ? <div class="state-line" role="status">{t("state.partly", { nodes: nodes.join(", ") })}</div> : null;
}

interface Props<T> {
  asked: Asked<T>;
  /** Whether the answer has nothing to show; then `empty` stands there: why, and the next step. */
  isEmpty?: (data: T) => boolean;
  empty?: ComponentChildren;
  /** The page has none around it. */
  sheet?: boolean;
  lines?: number;
  children: (data: T) => ComponentChildren;
}

export function States<T>({ asked, isEmpty, empty, sheet, lines, children }: Props<T>) {
  const { data } = asked;
  return <>
    <FailureLine asked={asked} />
    {data === undefined ? (asked.failure ? null : <Skeleton lines={lines} />)
      : isEmpty?.(data) ? <div class={sheet ? "sheet state-box" : "state-box"}>{empty}</div> : children(data)}
  </>;
}

export function Count({ of }: { of: number | undefined }) {
  return <span class="quiet">{of === undefined ? "" : number(of)}</span>;
}
