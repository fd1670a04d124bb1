/** Rows of connections and sessions, with their extended members. */
import { isCluster } from "./cluster";

export interface Connection {
  client_id: string; username: string; ipaddress: string; port: number; proto_name: string; proto_ver: number;
  clean_start: boolean; keepalive: number; is_bridge: boolean; is_super: boolean; mountpoint: string; peercert: string;
  will_topic: string; zone: string; node: string; connected_at_ts: number;
  recv_pkt: number; recv_msg: number; recv_oct: number; send_pkt: number; send_msg: number; send_oct: number;
  send_pend: number; mailbox_len: number; is_slow: boolean; is_held: boolean;
}

export interface SessionRow {
  client_id: string; username: string; node: string; clean_start: boolean; connected: boolean; created_at_ts: number;
  expiry_interval: number; inflight_len: number; max_inflight: number; mqueue_len: number; max_mqueue: number;
  mqueue_bytes: number; mqueue_dropped: number; awaiting_rel_len: number; max_awaiting_rel: number;
  subscriptions_count: number; max_subscriptions: number; deliver_msg: number; enqueue_msg: number;
  publishers_waiting: number; send_pend: number; is_slow: boolean;
}

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
