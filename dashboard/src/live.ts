/** The stream of events of this window. A hidden window wants nothing. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { LiveStream, type LiveState, type Said, type Wanted } from "./live-stream";
import { findSession, session } from "./session";

export const liveState = signal<LiveState>("idle");
export const retryAt = signal(0);
/** P: everything that refreshes by itself stands still. */
export const paused = signal(false);

export type { Sample as Rates } from "./api-types";

type Hear = (news: never) => void;
const hearers = new Map<string, Set<Hear>>();
const HEARTBEAT_MS = 30_000;

function heard(said: Said): void {
  if ("kind" in said) {
    hearers.get(said.kind)?.forEach((hear) => hear(said.news as never));
    return;
  }
  liveState.value = said.state;
  retryAt.value = said.retryAt ?? 0;
  // A stream also ends with its log-in, and an EventSource does not say why it ended.
  if (said.state === "lost") void findSession();
}

type Send = (wanted: Wanted | null) => void;

function connect(): Send {
  if (typeof SharedWorker === "undefined") {
    const stream = new LiveStream();
    return (wanted) => (wanted ? stream.listen(window, wanted, heard) : stream.leave(window));
  }
  const worker = new SharedWorker(address(WORKER) as string, { name: "live" });
  worker.port.onmessage = ({ data }: MessageEvent<Said>) => heard(data);
  return (wanted) => worker.port.postMessage(wanted);
}

/** The page's policy lets scripts come from one place that this policy names, and from no text. */
function address(path: string): unknown {
  const types = (window as unknown as { trustedTypes?: { createPolicy: (name: string, rules: object) => {
    createScriptURL: (text: string) => unknown } } }).trustedTypes;
  const policy = types?.createPolicy("live", { createScriptURL: () => path });
  return policy ? policy.createScriptURL(path) : path;
}

let send: Send | undefined;

function tell(again = false): void {
  if (!session.value?.username) return;
  send ??= connect();
  const wants = document.hidden || paused.value ? [] : [...hearers.keys()];
  send({ wants, url: new URL("api/v3/events", document.baseURI).href, again });
}

document.addEventListener("visibilitychange", () => tell());
addEventListener("pagehide", () => send?.(null));
addEventListener("pageshow", (event) => event.persisted && tell());
setInterval(() => !document.hidden && tell(), HEARTBEAT_MS);
paused.subscribe(() => tell());
let login: number | undefined;
session.subscribe((found) => {
  if (found?.login === login) return;
  login = found?.login;
  tell(true);
});

/** Calls `hear` with each event of a kind until the returned function is called. Kinds: `GET /events`. */
export function listen<T>(kind: string, hear: (news: T) => void): () => void {
  const all = hearers.get(kind) ?? new Set<Hear>();
  hearers.set(kind, all.add(hear as Hear));
  if (all.size === 1) tell();
  return () => {
    all.delete(hear as Hear);
    if (!all.size && hearers.delete(kind)) tell();
  };
}

/** The same for the time that a component is shown. */
export function useLive<T>(kind: string, hear: (news: T) => void): void {
  useEffect(() => listen<T>(kind, hear), [kind]);
}
