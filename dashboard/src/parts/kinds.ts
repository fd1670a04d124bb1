/** Values of settings, as they are written in the configuration, and the parts of which a control is made. */

export type Kind = "flag" | "enum" | "integer" | "number" | "duration" | "bytesize" | "percent" | "ip" | "string" | "secret";

export const UNITS: Partial<Record<Kind, readonly string[]>> = {
  duration: ["ms", "s", "m", "h", "d"],
  bytesize: ["B", "KB", "MB", "GB"],
};

/** "1MB" is 1 and MB; what has no unit is in `otherwise`; null: it is written in another way, such as 1h30m. */
export function split(kind: Kind, value: string, otherwise: string): { amount: string; unit: string } | null {
  const found = /^\s*(-?\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*$/.exec(value);
  const units = UNITS[kind];
  if (!found || !units) return null;
  const unit = found[2] ? units.find((one) => one.toLowerCase() === found[2]!.toLowerCase()) : otherwise;
  return unit === undefined ? null : { amount: found[1]!, unit };
}

export const join = (amount: string, unit: string): string => (unit === "B" ? amount : `${amount}${unit}`);

export const isOn = (value: string): boolean => ["on", "true", "enable"].includes(value.toLowerCase());
