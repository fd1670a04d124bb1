/** All places of the dashboard, in the groups of the side list. A place's page is the file of its name in pages/. */
import type { Role } from "./session";
import type { Key } from "./text";

export interface Place {
  name: string;
  title: Key;
  /** Without it the place is reached from another one. */
  group?: Group;
  /** Below this role there is nothing to see. */
  role?: Role;
  /** A page outside the frame. */
  link?: string;
  /** It has rows of all nodes, or of the one that is chosen. */
  ofNodes?: boolean;
}

export const GROUPS = ["watch", "find-out", "run", "allow"] as const;
export type Group = (typeof GROUPS)[number];

export const PLACES: readonly Place[] = [
  { name: "overview", title: "place.overview", group: "watch", ofNodes: true },
  { name: "clients", title: "place.clients", group: "watch", ofNodes: true },
  { name: "client", title: "place.client", ofNodes: true },
  { name: "sessions", title: "place.sessions", group: "watch", ofNodes: true },
  { name: "subscriptions", title: "place.subscriptions", group: "watch", ofNodes: true },
  { name: "topics", title: "place.topics", group: "watch", ofNodes: true },
  { name: "explain", title: "place.explain", group: "find-out" },
  { name: "trace", title: "place.trace", group: "find-out" },
  { name: "events", title: "place.events", group: "find-out", ofNodes: true },
  { name: "slow", title: "place.slow", group: "find-out", ofNodes: true },
  { name: "topic-metrics", title: "place.topic-metrics", group: "find-out" },
  { name: "alarms", title: "place.alarms", group: "find-out", ofNodes: true },
  { name: "mqtt", title: "place.mqtt", group: "find-out" },
  { name: "nodes", title: "place.nodes", group: "run", ofNodes: true },
  { name: "plugins", title: "place.plugins", group: "run", ofNodes: true },
  { name: "plugin", title: "place.plugin", ofNodes: true },
  { name: "settings", title: "place.settings", group: "run" },
  { name: "bans", title: "place.bans", group: "run" },
  { name: "logs", title: "place.logs", group: "run" },
  { name: "backup", title: "place.backup", group: "run", role: "administrator" },
  { name: "api", title: "place.api", group: "run", link: "api-docs" },
  { name: "users", title: "place.users", group: "allow" },
  { name: "apps", title: "place.apps", group: "allow" },
  { name: "credentials", title: "place.credentials", group: "allow" },
  { name: "audit", title: "place.audit", group: "allow", role: "administrator" },
];

export const placeNamed = (name: string): Place | undefined => PLACES.find((place) => place.name === name);
/** Where its own page is not in the side list, the place above it is marked there. */
export const ABOVE: Readonly<Record<string, string>> = { client: "clients", plugin: "plugins" };
