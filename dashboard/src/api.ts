/** Requests to the broker. What fails is a `Failure` with the server's sentence; a 401 opens the log-in dialog, and the
 * request is made again after it. */
import { signal } from "@preact/signals";
import { t } from "./text";
import { sessionOver } from "./session";

/** refused: 403. lost: nobody answered, or a proxy did. invalid: the server names what is wrong with the request. */
export type FailureKind = "refused" | "missing" | "invalid" | "busy" | "lost" | "server";

export class Failure extends Error {
  constructor(readonly kind: FailureKind, readonly status: number, sentence: string) {
    super(sentence);
  }
}

/** One segment of a path: ids may hold any characters. */
export const seg = (text: string): string => encodeURIComponent(text);

export type Params = Record<string, string | number | boolean | undefined | null | readonly string[]>;

interface Options {
  params?: Params;
  body?: unknown;
  /** Instead of a body: sent as it is. */
  file?: Blob;
  signal?: AbortSignal;
}

export const HEADERS = { "X-API-Style": "bare, slashes", "X-Requested-With": "dashboard" };

/** Browsers resolve `.` and `..` even where they are escaped, and proxies decode `%2F`: other than plain segments go into
 * the query, under a name that the path has. */
const PLAIN = /^(?!\.\.?$)(?:[\w.~-]|%40|%3A)*$/;

export function apiUrl(path: string, params: Params = {}): string {
  const query = new URLSearchParams({ _fields: "extended" });
  const sent = path.split("/").map((segment, index) => {
    if (PLAIN.test(segment)) return segment;
    query.set(`:${index}`, decodeURIComponent(segment));
    return `:${index}`;
  }).join("/");
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) value.forEach((one) => query.append(name, one));
    else if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  return `api/v3/${sent}?${query}`;
}

/** The answer as it came, whatever its status; for what is not JSON. */
export async function send(method: string, path: string, options: Options = {}): Promise<Response> {
  for (;;) {
    let answer: Response;
    try {
      answer = await fetch(apiUrl(path, options.params), {
        method,
        signal: options.signal,
        headers: options.body === undefined ? HEADERS : { ...HEADERS, "Content-Type": "application/json" },
        body: options.body === undefined ? options.file : JSON.stringify(options.body),
      });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Failure("lost", 0, t("failure.lost"));
    }
    if (answer.status !== 401) return answer;
    await sessionOver(options.signal);
  }
}

/** In EMQ X's words. */
const NODE_DOWN = "nodedown";

function kindOf(status: number): FailureKind {
  if (status === 403) return "refused";
  if (status === 404) return "missing";
  if (status === 429) return "busy";
  if (status === 502 || status === 503 || status === 504) return "lost";
  return status < 500 ? "invalid" : "server";
}

export async function failureOf(answer: Response): Promise<Failure> {
  const text = await answer.text();
  let sentence = text.trim();
  try {
    const said = JSON.parse(text) as { message?: unknown };
    if (typeof said.message === "string") sentence = said.message;
  } catch { /* plain text */ }
  if (sentence === NODE_DOWN) return new Failure("lost", answer.status, t("failure.node-down"));
  if (!sentence || sentence.startsWith("<")) sentence = t("failure.status", { status: String(answer.status) });
  return new Failure(kindOf(answer.status), answer.status, sentence);
}

/** Nodes that do not answer the one that is asked. */
export const silent = signal<ReadonlySet<string>>(new Set());

const isSilent = (row: unknown): row is { node: string } =>
  typeof row === "object" && row !== null && "error" in row && "node" in row && Object.keys(row).length === 2;

/** The rows of the nodes that answered; `{"node": …, "error": …}` stands for one that did not. */
function answered<T>(rows: T): T {
  if (!Array.isArray(rows) || !rows.some(isSilent)) return rows;
  const missing = rows.filter(isSilent).map((row) => row.node);
  if (missing.some((node) => !silent.value.has(node))) silent.value = new Set([...silent.value, ...missing]);
  return rows.filter((row) => !isSilent(row)) as T;
}

async function request<T>(method: string, path: string, options: Options): Promise<T> {
  const answer = await send(method, path, options);
  if (!answer.ok) throw await failureOf(answer);
  const text = await answer.text();
  const value = (text ? JSON.parse(text) : null) as T & { code?: unknown; message?: unknown };
  // Refusals of MQTT and of messages have status 200 and a code.
  if (value && typeof value === "object" && typeof value.code === "number" && value.code !== 0)
    throw new Failure("invalid", answer.status, typeof value.message === "string" ? value.message
      : t("failure.code", { code: String(value.code) }));
  return answered(value);
}

export const get = <T>(path: string, params?: Params, signal?: AbortSignal): Promise<T> =>
  request<T>("GET", path, { params, signal });
export const post = <T = unknown>(path: string, body: unknown = {}, params?: Params): Promise<T> =>
  request<T>("POST", path, { body, params });
export const put = <T = unknown>(path: string, body: unknown = {}, params?: Params): Promise<T> =>
  request<T>("PUT", path, { body, params });
export const del = <T = unknown>(path: string, params?: Params): Promise<T> => request<T>("DELETE", path, { params });

/** A page of a list. `count`: of all pages; missing with `_count=no`, which has `hasnext` instead. */
export interface Page<T> {
  items: T[];
  meta: { page: number; limit: number; count?: number; hasnext?: boolean };
}
