/** The wire format of protobuf without a schema: field, wire type, value. What could be a message, text or bytes is shown
 * as the first of these that it can be. */
import { asText } from "./payload-views";

const MOST_DEPTH = 16;
const NAMES = ["varint", "fixed64", "bytes", "group", "group end", "fixed32"] as const;

class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}

  varint(): bigint | null {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) return null;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value < 1n << 64n ? value : null;
    }
    return null;
  }

  take(length: number): Uint8Array | null {
    if (this.at + length > this.bytes.length) return null;
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

/** Signed, where the sign would be set; and as sint (ZigZag) writes it. */
function integer(value: bigint): string {
  const signed = BigInt.asIntN(64, value), zigzag = (value >> 1n) ^ -(value & 1n);
  return [String(value), ...(signed < 0n ? [String(signed)] : []), `sint ${zigzag}`].join(" · ");
}

function fixed(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return bytes.length === 8 ? `${view.getBigUint64(0, true)} · double ${view.getFloat64(0, true)}`
    : `${view.getUint32(0, true)} · float ${view.getFloat32(0, true)}`;
}

const PRINTABLE = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$/;

function delimited(bytes: Uint8Array, indent: string, depth: number): string[] {
  const text = asText(bytes);
  if (text !== null && PRINTABLE.test(text)) return [JSON.stringify(text)];
  const inner = bytes.length && depth < MOST_DEPTH ? lines(bytes, `${indent}  `, depth + 1) : null;
  if (inner) return ["{", ...inner, `${indent}}`];
  return [[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ")];
}

function lines(bytes: Uint8Array, indent: string, depth: number): string[] | null {
  const reader = new Reader(bytes), found: string[] = [];
  while (reader.at < bytes.length) {
    const key = reader.varint();
    if (key === null || key >> 3n === 0n || key >> 3n > 536_870_911n) return null;
    const type = Number(key & 7n), head = `${indent}${key >> 3n} ${NAMES[type]}: `;
    if (type === 0) {
      const value = reader.varint();
      if (value === null) return null;
      found.push(head + integer(value));
    } else if (type === 1 || type === 5) {
      const value = reader.take(type === 1 ? 8 : 4);
      if (value === null) return null;
      found.push(head + fixed(value));
    } else if (type === 2) {
      const length = reader.varint();
      const value = length === null || length > BigInt(bytes.length) ? null : reader.take(Number(length));
      if (value === null) return null;
      const [first, ...others] = delimited(value, indent, depth);
      found.push(head + first!, ...others);
    } else if (type === 3 || type === 4) found.push(head.slice(0, -2));
    else return null;
  }
  return found;
}

/** null: these bytes are no message. */
export const asProtobuf = (bytes: Uint8Array): string | null => lines(bytes, "", 0)?.join("\n") ?? null;
