/** What stands about the connection and the session. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { given, NEVER_EXPIRES, type Connection } from "../../client-rows";
import { Id, Topic } from "../../parts/topic";
import { number, t, type Key } from "../../text";
import { absolute, bytes, figure, now, span } from "../../time";
import { ofMost } from "../sessions";
import type { Known } from "../client";

type Fact = [Key, ComponentChildren];

function Sheet({ title, facts }: { title: Key; facts: Fact[] }) {
  return <section class="sheet"><header><h2>{t(title)}</h2></header><div class="body"><dl class="facts">
    {facts.map(([name, value]) => <><dt>{t(name)}</dt><dd>{value}</dd></>)}</dl></div></section>;
}

const yes = (is: boolean): string => t(is ? "clients.yes" : "clients.no");
const date = (ts: number): ComponentChildren => <>{absolute(ts)} <span class="quiet">({span(now.value - ts)})</span></>;

/** A counter, and what it grew by each second between the last two answers. */
function useRate(connection: Connection | undefined): (name: "recv_msg" | "send_msg" | "recv_oct" | "send_oct") => number | null {
  const seen = useRef<{ row: Connection | undefined; at: number; before?: { row: Connection; at: number } }>({ row: undefined, at: 0 });
  if (connection && connection !== seen.current.row) {
    const { row, at } = seen.current;
    const isSame = row?.connected_at_ts === connection.connected_at_ts && row.client_id === connection.client_id;
    seen.current = { row: connection, at: performance.now() / 1000, before: row && isSame ? { row, at } : undefined };
  }
  return (name) => {
    const { row, at, before } = seen.current;
    return row && before && at > before.at ? (row[name] - before.row[name]) / (at - before.at) : null;
  };
}

export function Facts({ connection, session }: Known) {
  const rate = useRate(connection);
  const perSecond = (name: Parameters<typeof rate>[0], write: (value: number) => string): ComponentChildren => {
    const value = rate(name);
    return value === null ? null : <span class="quiet"> · {t("client.per-second", { value: write(value) })}</span>;
  };
  return <div class="panels">
    {connection && <Sheet title="client.connection" facts={[
      ["clients.user", <Id whole>{given(connection.username)}</Id>],
      ["clients.address", <code>{connection.ipaddress}:{connection.port}</code>],
      ["client.protocol", `${connection.proto_name} ${connection.proto_ver}`],
      ["client.since", date(connection.connected_at_ts)],
      ["clients.keepalive", t("client.seconds", { n: connection.keepalive })],
      ["client.clean-start", yes(connection.clean_start)],
      ["client.will", given(connection.will_topic) ? <Topic linked>{connection.will_topic}</Topic> : "–"],
      ["client.certificate", given(connection.peercert) && connection.peercert !== "nossl" ? <Id>{connection.peercert}</Id> : "–"],
      ["client.mountpoint", <Id>{given(connection.mountpoint)}</Id>],
      ["client.super", yes(connection.is_super)],
      ["client.bridge", yes(connection.is_bridge)],
      ["subscriptions.node", <code>{connection.node}</code>],
    ]} />}
    {connection && <Sheet title="client.traffic" facts={[
      ["client.messages-in", <>{number(connection.recv_msg)}{perSecond("recv_msg", figure)}</>],
      ["client.messages-out", <>{number(connection.send_msg)}{perSecond("send_msg", figure)}</>],
      ["client.packets-in", number(connection.recv_pkt)],
      ["client.packets-out", number(connection.send_pkt)],
      ["client.bytes-in", <>{bytes(connection.recv_oct)}{perSecond("recv_oct", bytes)}</>],
      ["client.bytes-out", <>{bytes(connection.send_oct)}{perSecond("send_oct", bytes)}</>],
      ["clients.waiting", bytes(connection.send_pend)],
      ["client.acks", number(connection.mailbox_len)],
      ["clients.slow", connection.is_slow ? <span class="bad">▲ {t("client.slow-means")}</span> : yes(false)],
      ["client.held", connection.is_held ? <span class="warn">▲ {t("client.held-means")}</span> : yes(false)],
    ]} />}
    {session && <Sheet title="client.session" facts={[
      ["client.since", date(session.created_at_ts)],
      ["sessions.expiry", session.expiry_interval >= NEVER_EXPIRES ? t("sessions.never") : span(session.expiry_interval)],
      ["place.subscriptions", ofMost(session.subscriptions_count, session.max_subscriptions)],
      ["sessions.inflight", ofMost(session.inflight_len, session.max_inflight)],
      ["sessions.queue", <>{ofMost(session.mqueue_len, session.max_mqueue)} <span class="quiet">({bytes(session.mqueue_bytes)})</span></>],
      ["sessions.dropped", <span class={session.mqueue_dropped ? "bad" : undefined}>{number(session.mqueue_dropped)}</span>],
      ["client.awaiting", ofMost(session.awaiting_rel_len, session.max_awaiting_rel)],
      ["client.publishers", number(session.publishers_waiting)],
      ["client.delivered", number(session.deliver_msg)],
      ["client.queued", number(session.enqueue_msg)],
    ]} />}
  </div>;
}
