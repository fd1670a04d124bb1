/** Bytes as text, JSON, hex, CBOR and protobuf. The bytes stay as they came; a view that does not fit them is null. */
import { parse, stringify } from "lossless-json";

export type PayloadView = "text" | "json" | "hex" | "cbor" | "protobuf";

/** More than this is not shown as a tree of values, not as text before a click, and not at all but saved. */
export const LIMITS = { structured: 64 << 10, text: 256 << 10, shown: 1 << 20 };

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  return Uint8Array.from(binary, (letter) => letter.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 0x8000) binary += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(binary);
}

export function asText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Numbers keep every digit. */
export function asJson(bytes: Uint8Array): string | null {
  const text = bytes.length <= LIMITS.structured ? asText(bytes) : null;
  if (text === null || !/^\s*[[{"\-\dtfn]/.test(text)) return null;
  try {
    return stringify(parse(text), null, 2) ?? null;
  } catch {
    return null;
  }
}

export function asHex(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = [...bytes.subarray(at, at + 16)];
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const letters = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${letters}`);
  }
  return lines.join("\n");
}

/** In the diagnostic notation of RFC 8949. The decoder is loaded when it is needed. */
export async function asCbor(bytes: Uint8Array): Promise<string | null> {
  if (!bytes.length || bytes.length > LIMITS.structured) return null;
  const { diagnose } = await import("cbor2/diagnostic");
  try {
    return diagnose(bytes, { pretty: true });
  } catch {
    return null;
  }
}

/** Loaded when it is needed, too. */
export async function asProtobuf(bytes: Uint8Array): Promise<string | null> {
  return bytes.length && bytes.length <= LIMITS.structured ? (await import("./protobuf")).asProtobuf(bytes) : null;
}

/** The view that the content suggests. A CBOR message that is shown is a map or an array: nearly any bytes are some value. */
export async function suggested(bytes: Uint8Array): Promise<PayloadView> {
  const text = asText(bytes);
  if (text !== null && /^\s*[[{]/.test(text) && asJson(bytes) !== null) return "json";
  // eslint-disable-next-line no-control-regex
  if (text !== null && !/[\u0000-\u0008\u000e-\u001f]/.test(text)) return "text";
  const major = (bytes[0] ?? 0) >> 5;
  return (major === 4 || major === 5 || major === 6) && await asCbor(bytes) !== null ? "cbor" : "hex";
}
