/** Who is logged in. */
import { signal } from "@preact/signals";
import { t } from "./text";

export type Role = "viewer" | "operator" | "administrator";
export interface WebSocketListener { name: string; port: number; path: string; tls: boolean }
export interface Session {
  username: string | null;
  choose_password: boolean;
  role?: Role;
  must_change?: boolean;
  login?: number;
  expires_in?: number;
  version?: string;
  node?: string;
  nodes?: string[];
  websockets?: WebSocketListener[];
}

export const session = signal<Session | null>(null);
/** The dialog over the page: the log-in is over while someone works. */
export const isOver = signal(false);

const ORDER: readonly Role[] = ["viewer", "operator", "administrator"];

/** What a role may not do is not offered; the server decides all the same. */
export function may(role: Role): boolean {
  return ORDER.indexOf(session.value?.role ?? "viewer") >= ORDER.indexOf(role);
}

/** Gives the server's sentence where it refuses. */
async function ask(method: string, path: string, body?: unknown): Promise<Session | string> {
  try {
    const answer = await fetch(path, {
      method,
      headers: { "X-Requested-With": "dashboard", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
    });
    if (answer.ok) return (await answer.json()) as Session;
    const text = await answer.text();
    try {
      return (JSON.parse(text) as { message: string }).message;
    } catch {
      return text.trim() || t("failure.status", { status: String(answer.status) });
    }
  } catch {
    return t("failure.lost");
  }
}

let waiting: (() => void)[] = [];

function letIn(found: Session): void {
  session.value = found;
  isOver.value = false;
  waiting.forEach((go) => go());
  waiting = [];
}

export async function findSession(): Promise<string | null> {
  const found = await ask("GET", "session");
  if (typeof found === "string") return found;
  if (found.username !== null) letIn(found);
  else if (session.value?.username) isOver.value = true;
  else session.value = found;
  return null;
}

export async function logIn(username: string, password: string): Promise<string | null> {
  const found = await ask("POST", "session", { username, password });
  if (typeof found === "string") return found;
  letIn(found);
  return null;
}

export async function chooseFirst(password: string, token: string): Promise<string | null> {
  const found = await ask("POST", "session/first", { password, token });
  return typeof found === "string" ? found : logIn(found.username ?? "", password);
}

export async function logOut(): Promise<string | null> {
  const found = await ask("DELETE", "session");
  if (typeof found === "string") return found;
  // What the pages keep of this user goes with the document.
  location.hash = "";
  location.reload();
  return null;
}

/** Waits until somebody is logged in again. */
export function sessionOver(stop?: AbortSignal): Promise<void> {
  isOver.value = true;
  return new Promise((go, fail) => {
    waiting.push(go);
    stop?.addEventListener("abort", () => fail(stop.reason));
  });
}
