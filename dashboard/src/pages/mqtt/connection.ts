/** One client of MQTT over WebSocket. mqtt.js is loaded with the first connection. */
import { signal } from "@preact/signals";
import type { IClientOptions, MqttClient } from "mqtt";
import { Tail } from "../../tail";
import { t } from "../../text";

export interface Settings {
  url: string;
  version: 4 | 5;
  clientId: string;
  username: string;
  password: string;
  clean: boolean;
  keepalive: number;
}
export interface Message { ts: number; direction: "in" | "out"; topic: string; qos: number; retain: boolean; payload: Uint8Array<ArrayBuffer> }
type State = "apart" | "connecting" | "connected";

export class Connection {
  readonly state = signal<State>("apart");
  readonly said = signal("");
  readonly filters = signal<readonly { filter: string; qos: number }[]>([]);
  readonly messages = new Tail<Message>();
  readonly settings;
  private client: MqttClient | null = null;

  constructor(readonly number: number, settings: Settings) {
    this.settings = signal(settings);
  }

  async connect(): Promise<void> {
    const { url, version, clientId, username, password, clean, keepalive } = this.settings.value;
    this.state.value = "connecting";
    this.said.value = "";
    const { default: mqtt } = await import("mqtt");
    const options: IClientOptions = {
      protocolVersion: version, clientId, clean, keepalive, username: username || undefined, password: password || undefined,
      // Timers of the page: its policy allows no worker made of text. One attempt, so that a refusal is seen.
      timerVariant: "native", reconnectPeriod: 0, connectTimeout: 10_000,
      properties: version === 5 && !clean ? { sessionExpiryInterval: 3600 } : undefined,
    };
    const client = mqtt.connect(url, options);
    this.client = client;
    client.on("connect", () => {
      this.state.value = "connected";
      if (clean) this.filters.value = [];
    });
    client.on("error", (error) => (this.said.value = error.message));
    client.on("disconnect", (packet) => (this.said.value = t("mqtt.ended-by-broker", { code: packet.reasonCode ?? 0 })));
    client.on("close", () => {
      if (this.client !== client) return;
      if (this.state.value === "connecting" && !this.said.value) this.said.value = t("mqtt.not-reached", { url });
      else if (this.state.value === "connected" && !this.said.value) this.said.value = t("mqtt.closed");
      this.state.value = "apart";
      this.client = null;
      client.end(true);
    });
    client.on("message", (topic, payload, { qos, retain }) =>
      this.keep({ ts: Date.now() / 1000, direction: "in", topic, qos, retain, payload: Uint8Array.from(payload) }));
  }

  disconnect(): void {
    const client = this.client;
    this.client = null;
    this.state.value = "apart";
    this.said.value = "";
    client?.end();
  }

  async subscribe(filter: string, qos: 0 | 1 | 2): Promise<void> {
    const granted = await this.client?.subscribeAsync(filter, { qos });
    if (!granted?.length || granted[0]!.qos > 2) throw new Error(t("mqtt.refused", { code: granted?.[0]?.qos ?? "" }));
    this.filters.value = [...this.filters.value.filter((one) => one.filter !== filter), { filter, qos: granted[0]!.qos }];
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.client?.unsubscribeAsync(filter);
    this.filters.value = this.filters.value.filter((one) => one.filter !== filter);
  }

  async publish(topic: string, text: string, qos: 0 | 1 | 2, retain: boolean): Promise<void> {
    await this.client?.publishAsync(topic, text, { qos, retain });
    this.keep({ ts: Date.now() / 1000, direction: "out", topic, qos, retain, payload: new TextEncoder().encode(text) });
  }

  private keep(message: Message): void {
    this.messages.put(message, message.payload.length + message.topic.length);
  }
}
