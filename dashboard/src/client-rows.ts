/** Rows of connections and sessions, with their extended members. */
import { isCluster } from "./cluster";

export type { ExtendedConnection as Connection, ExtendedSession as SessionRow } from "./api-types";

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
