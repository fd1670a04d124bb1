/** Made by api_types.py from the broker's OpenAPI document; do not change it here. */

export interface AclRead {
  file: string;
  rules: number;
}

export interface AlarmRow {
  id: string;
  severity: string;
  summary: string;
  timestamp: string;
  title: string;
}

export interface AppsProperties {
  name?: string;
  desc?: string;
  status?: boolean;
  expired?: number | "undefined" | null;
  style?: "bare" | "envelope" | null;
  names?: "dots" | "slashes" | null;
  role?: "administrator" | "operator" | "viewer";
  scopes?: string[] | null;
}

export interface AppsSecret {
  secret: string;
}

export interface AppsShown {
  app_id: string;
  secret: string;
  name: string;
  desc: string;
  status: boolean;
  expired: number | string;
  style?: string;
  names?: string;
  role?: string;
  scopes?: string[];
}

export interface AuditRow {
  at: string;
  at_ts: number;
  who: string;
  kind: string;
  from: string;
  action: string;
  method: string;
  path: string;
  params: string;
  status: number;
  result: string;
}

export interface Authority {
  client_id: string;
  is_superuser: boolean;
}

export interface BanRequest {
  who: string;
  reason?: string | null;
  by?: string | null;
  desc?: string | null;
  until?: number | "undefined" | null;
  as: "client_id" | "ip_address" | "username";
}

export interface Branch {
  level: string;
  topic: string;
  has_message: boolean;
  subscriptions: number;
  children: number | string;
  payload_size?: number;
  published_at_ts?: number;
  beginning?: string;
}

export interface Broker {
  datetime: string;
  node_status: string;
  otp_release: string;
  sysdescr: string;
  uptime: string;
  version: string;
}

export interface CertificateRow {
  listener: string;
  listen_on: string;
  certfile: string;
  expires_at: string;
  days_left: number | string;
  node: string;
}

export interface Change {
  key: string;
  value: string;
}

export interface Changes {
  tags?: string;
  role?: "administrator" | "operator" | "viewer";
  password?: string;
}

export interface ClearedAlarm {
  id: string;
  severity: string;
  summary: string;
  timestamp: string;
  title: string;
  desc: string;
  clear_at: string;
  timestamp_ts?: number;
  clear_at_ts?: number;
}

export interface ConfigItem {
  key: string;
  value: string;
  datatpye: string;
  app: string;
}

export interface Connection {
  clean_start: boolean;
  client_id: string;
  connected_at: string;
  ipaddress: string;
  is_bridge: boolean;
  is_super: boolean;
  keepalive: number;
  mountpoint: string;
  node: string;
  peercert: string;
  port: number;
  proto_name: string;
  proto_ver: number;
  username: string;
  will_topic: string;
  zone: string;
}

export interface Credentials {
  username?: string;
  password?: string;
}

export interface DelayedMessage {
  id: string;
  topic: string;
  qos: number;
  retain: boolean;
  client_id: string;
  payload_size: number;
  publish_at: string;
  publish_at_ts: number;
  delayed_remaining: number;
  expires_in: number | string;
  payload: string;
  payload_encoding: "base64" | "plain";
  properties: Record<string, unknown>;
}

export interface DelayedRow {
  id: string;
  topic: string;
  qos: number;
  retain: boolean;
  client_id: string;
  payload_size: number;
  publish_at: string;
  publish_at_ts: number;
  delayed_remaining: number;
  expires_in: number | string;
}

export interface Ended {
  client_id: string;
  code: number;
}

export interface EventsWanted {
  types?: string;
  client_id?: string | null;
}

export interface Explanation {
  topic: string;
  publisher: Publisher | null;
  reaches: string;
  count: number;
  recipients: Recipient[];
}

export interface ExtendedConnection {
  clean_start: boolean;
  client_id: string;
  connected_at: string;
  ipaddress: string;
  is_bridge: boolean;
  is_super: boolean;
  keepalive: number;
  mountpoint: string;
  node: string;
  peercert: string;
  port: number;
  proto_name: string;
  proto_ver: number;
  username: string;
  will_topic: string;
  zone: string;
  mailbox_len: number;
  heap_size: number;
  reductions: number;
  recv_pkt: number;
  recv_msg: number;
  send_pkt: number;
  send_msg: number;
  recv_oct: number;
  recv_cnt: number;
  send_oct: number;
  send_cnt: number;
  send_pend: number;
  is_slow: boolean;
  is_held: boolean;
  connected_at_ts: number;
}

export interface ExtendedSession {
  awaiting_rel_len: number;
  binding: string;
  clean_start: boolean;
  client_id: string;
  created_at: string;
  deliver_msg: number;
  enqueue_msg: number;
  expiry_interval: number;
  heap_size: number;
  inflight_len: number;
  mailbox_len: number;
  max_awaiting_rel: number;
  max_inflight: number;
  max_mqueue: number;
  max_subscriptions: number;
  mqueue_dropped: number;
  mqueue_len: number;
  node: string;
  reductions: number;
  subscriptions_count: number;
  username: string;
  mqueue_bytes: number;
  publishers_waiting: number;
  send_pend: number;
  is_slow: boolean;
  connected: boolean;
  created_at_ts: number;
}

export interface ExtendedSubscription {
  client_id: string;
  node: string;
  qos: number;
  topic: string;
  group: string;
  no_local: boolean;
  retain_as_published: boolean;
  retain_handling: number;
  subscription_id: number;
}

export interface Filter {
  _match_topic: string;
}

export interface KickResult {
  client_id: string;
  code: number;
}

export interface Kicked {
  kicked: number;
}

export interface Kind {
  as: "client_id" | "ip_address" | "username";
}

export interface Level {
  level: "debug" | "error" | "info" | "warning";
}

export interface Lifted {
  as: string;
  who: string;
  code: number;
}

export interface Listed {
  app_id: string;
  name: string;
  desc: string;
  status: boolean;
  expired: number | string;
}

export interface ListedBroker {
  datetime: string;
  node: string;
  node_status: string;
  otp_release: string;
  sysdescr: string;
  uptime: string;
  version: string;
}

export interface ListedNode {
  connections: number;
  load1: string;
  load15: string;
  load5: string;
  max_fds: number;
  memory_total: string | number;
  memory_used: string | number;
  name: string;
  node: string;
  node_status: string;
  otp_release: string;
  process_available: number;
  process_used: number;
  uptime: string;
  version: string;
}

export interface Listener {
  acceptors: number;
  current_conns: number;
  listen_on: string;
  max_conns: number;
  protocol: string;
  shutdown_count: Record<string, number> | unknown[];
}

export interface LogLevel {
  component: string;
  level: string;
  set: boolean;
}

export interface LoginRow {
  id: number;
  username: string;
  since: string;
  since_ts: number;
  seen: string;
  seen_ts: number;
  address: string;
  browser: string;
  current: boolean;
}

export interface ManyIds {
  client_ids: string[];
}

export interface MqttProperties {
  payload_format_indicator?: number;
  message_expiry_interval?: number;
  content_type?: string;
  response_topic?: string;
  correlation_data?: string;
  user_properties?: Record<string, string> | unknown[][];
}

export interface NewApplication {
  desc?: string;
  status?: boolean;
  expired?: number | "undefined" | null;
  style?: "bare" | "envelope" | null;
  names?: "dots" | "slashes" | null;
  role?: "administrator" | "operator" | "viewer";
  scopes?: string[] | null;
  name: string;
  app_id: string;
  secret?: string | null;
}

export interface NewTopic {
  topic: string;
}

export interface NodeAlarms {
  alarms: AlarmRow[];
  node: string;
}

export interface NodeConfig {
  config: ConfigItem[];
  node: string;
}

export interface NodeHistory {
  alarms: ClearedAlarm[];
  node: string;
}

export interface NodeInfo {
  connections: number;
  load1: string;
  load15: string;
  load5: string;
  max_fds: number;
  memory_total: number;
  memory_used: number;
  name: string;
  node_status: string;
  otp_release: string;
  process_available: number;
  process_used: number;
  uptime: string;
  version: string;
}

export interface NodeListeners {
  listeners: Listener[];
  node: string;
}

export interface NodePlugins {
  node: string;
  plugins: PluginRow[];
}

export interface NodePresent {
  alarms: PresentAlarm[];
  node: string;
}

export interface NodeRates {
  node: string;
  rates: Sample[];
}

export interface Passwords {
  new_pwd: string;
  old_pwd?: string;
}

export interface PluginRow {
  name: string;
  version: string;
  description: string;
  active: boolean;
}

export interface PluginSetting {
  key: string;
  value: string;
  desc: string;
  required: boolean;
}

export interface PresentAlarm {
  id: string;
  severity: string;
  summary: string;
  timestamp: string;
  title: string;
  desc: string;
  timestamp_ts?: number;
}

export interface Publish {
  topic?: string;
  topics?: string | string[];
  payload?: unknown;
  qos?: number;
  retain?: boolean;
  client_id?: string;
  payload_encoding?: "base64" | "json" | "plain";
  properties?: MqttProperties | null;
}

export interface Publisher {
  client_id: string;
  allowed: boolean;
  by: string;
  cached: boolean | null;
}

export interface Question {
  topic: string;
  client_id?: string | null;
  qos?: number;
  limit?: number;
}

export interface QueuedMessage {
  topic: string;
  qos: number;
  retain: boolean;
  payload_size: number;
  published_at: string;
  published_at_ts: number;
  expires_in: number | string;
}

export interface Recipient {
  client_id: string;
  filters: string[];
  group: string | null;
  qos: number;
  outcome: string;
  reason: string;
  allowed: boolean | null;
  by: string;
}

export interface Reset {
  key: string;
}

export interface RetainedDeleted {
  deleted: number;
}

export interface RetainedMessage {
  topic: string;
  qos: number;
  client_id: string;
  payload_size: number;
  published_at: string;
  published_at_ts: number;
  expires_in: number | string;
  payload: string;
  payload_encoding: "base64" | "plain";
  properties: Record<string, unknown>;
}

export interface RetainedRow {
  topic: string;
  qos: number;
  client_id: string;
  payload_size: number;
  published_at: string;
  published_at_ts: number;
  expires_in: number | string;
}

export interface Rotation {
  overlap?: number;
}

export interface Route {
  node: string;
  topic: string;
}

export interface Row {
  as: string;
  by: string;
  desc: string;
  reason: string;
  until: number | string;
  who: string;
}

export interface Sample {
  ts: number;
  received: number;
  sent: number;
  dropped: number;
  unrouted: number;
  received_bytes: number;
  sent_bytes: number;
  connects: number;
  connections: number;
  subscriptions: number;
}

export interface ScramUser {
  username: string;
  is_superuser?: boolean;
}

export interface ScramUsersNewUser {
  password: string;
  is_superuser?: boolean;
  username: string;
}

export interface ScramUsersSecret {
  password: string;
  is_superuser?: boolean;
}

export interface SessionRow {
  awaiting_rel_len: number;
  binding: string;
  clean_start: boolean;
  client_id: string;
  created_at: string;
  deliver_msg: number;
  enqueue_msg: number;
  expiry_interval: number;
  heap_size: number;
  inflight_len: number;
  mailbox_len: number;
  max_awaiting_rel: number;
  max_inflight: number;
  max_mqueue: number;
  max_subscriptions: number;
  mqueue_dropped: number;
  mqueue_len: number;
  node: string;
  reductions: number;
  subscriptions_count: number;
  username: string;
}

export interface SessionsDeleted {
  deleted: number;
}

export interface Setting {
  key: string;
  value: string;
  origin: string;
}

export interface SlowSubscriberRow {
  client_id: string;
  username: string;
  highest_ms: number;
  waits_ms: number;
  topic: string;
  in_flight: number;
  queued: number;
  waiting_bytes: number;
  at: string;
  at_ts: number;
  node: string;
}

export interface Span {
  first?: number;
  last?: number;
}

export interface Subscribe {
  topic?: string;
  topics?: string | string[];
  client_id: string;
  qos?: number;
}

export interface Subscription {
  client_id: string;
  node: string;
  qos: number;
  topic: string;
}

export interface TopicMetricsRow {
  topic: string;
  received: number;
  sent: number;
  received_qos0: number;
  received_qos1: number;
  received_qos2: number;
  sent_qos0: number;
  sent_qos1: number;
  sent_qos2: number;
  queued: number;
  acknowledged: number;
  dropped: number;
  received_bytes: number;
  sent_bytes: number;
  received_rate: number;
  sent_rate: number;
  dropped_rate: number;
  created_at: string;
  created_at_ts: number;
  node: string;
}

export interface TopicTreeWanted {
  under?: string | null;
  of?: string;
  after?: string | null;
  _limit?: number;
}

export interface TraceRow {
  id: string;
  client_id: string;
  topic: string;
  owner: string;
  started_at: string;
  node: string;
}

export interface TraceWanted {
  client_id?: string | null;
  topic?: string | null;
  seconds?: number;
  max_bytes?: number;
  payload_bytes?: number;
}

export interface Unsubscribe {
  topic: string;
  client_id: string;
}

export interface UsersNewUser {
  username?: string;
  password?: string;
  tags?: string;
  role?: "administrator" | "operator" | "viewer";
}

export interface UsersShown {
  username: string;
  tags: string;
  role?: string;
}
