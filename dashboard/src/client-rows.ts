/** Rows of connections and sessions, with their extended members. */
import { get, type Page } from "./api";
import type { ExtendedConnection as Connection, ExtendedSession as SessionRow } from "./api-types";
import { isCluster } from "./cluster";

export type { Connection, SessionRow };

/** Versions of MQTT by what CONNECT says. */
export const VERSIONS: Readonly<Record<number, string>> = { 3: "3.1", 4: "3.1.1", 5: "5.0" };
export const NEVER_EXPIRES = 0xffffffff;

/** The API writes `undefined` where there is none. */
export const given = (text: string): string | null => (text === "undefined" ? null : text);
/** What tells rows of a list apart: while a client moves, two nodes may have a row of it. */
export const keyOf = (row: { client_id: string; node: string }): string =>
  (isCluster.value ? `${row.client_id} ${row.node}` : row.client_id);
/** Where something of one node is asked for or done. */
export const onNode = (node: string, path: string): string => (isCluster.value ? `nodes/${encodeURIComponent(node)}/${path}` : path);
/** The list of all nodes, or of the one that the view names. */
export const listOf = (what: string, node: string): string => (node ? `nodes/${encodeURIComponent(node)}/${what}/` : `${what}/`);

export interface Known { connection: Connection | undefined; session: SessionRow | undefined }

/** What the broker has of a client. Asked as a filter: in a path, a lone dot and a proxy's slash would be lost. */
export async function knownOf(client_id: string, node: string, signal: AbortSignal): Promise<Known> {
  const one = { client_id, _limit: 1 };
  const [connections, sessions] = await Promise.all([
    get<Page<Connection>>(listOf("connections", node), one, signal), get<Page<SessionRow>>(listOf("sessions", node), one, signal)]);
  return { connection: connections.items[0], session: sessions.items[0] };
}
