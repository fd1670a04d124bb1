import assert from "node:assert/strict";
import test from "node:test";
import { asCbor, asHex, asJson, asProtobuf, asText, fromBase64, LIMITS, suggested, toBase64 } from "../src/parts/payload-views";

const utf8 = (text: string) => new TextEncoder().encode(text);
const hex = (text: string) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

test("any bytes survive base64, also more than a call takes arguments", () => {
  const all = Uint8Array.from({ length: 200_001 }, (_, at) => at % 256);
  assert.deepEqual(fromBase64(toBase64(all)), all);
  assert.deepEqual(fromBase64(toBase64(new Uint8Array())), new Uint8Array());
});

test("only UTF-8 is text, and a byte order mark is a part of it", () => {
  assert.equal(asText(utf8("läuft 运行中")), "läuft 运行中");
  assert.equal(asText(hex("efbbbf41")), "\ufeffA");
  for (const bad of ["ff", "c0af", "eda080", "e282"]) assert.equal(asText(hex(bad)), null, bad);
});

test("numbers of JSON keep every digit", () => {
  assert.equal(asJson(utf8('{"id":1152921504606846976,"t":1.10,"big":1e400}')),
    '{\n  "id": 1152921504606846976,\n  "t": 1.10,\n  "big": 1e400\n}');
  for (const bad of ["", "x", "{", '{"a":1,}', "{} {}"]) assert.equal(asJson(utf8(bad)), null, bad);
  assert.equal(asJson(utf8(`[${" ".repeat(LIMITS.structured)}]`)), null, "too large for a tree of values");
});

test("hex shows offset, bytes and letters", () => {
  const [first, second, ...more] = asHex(Uint8Array.from({ length: 17 }, (_, at) => at + 60)).split("\n");
  assert.equal(first, "000000  3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK");
  assert.equal(second, `000010  4c${" ".repeat(45)}  L`);
  assert.deepEqual(more, []);
  assert.equal(asHex(hex("00ff7f")).slice(-3), "···");
});

test("CBOR is in diagnostic notation", async () => {
  assert.match((await asCbor(hex("a2616119012c6162f93c00")))!.replace(/\s+/g, " "), /\{ ?"a": 300(_\d)?, "b": 1\.?0?(_\d)? ?\}/);
  assert.equal(await asCbor(hex("a26161")), null);
  assert.equal(await asCbor(new Uint8Array()), null);
});

test("the content suggests the view", async () => {
  const views = { '{"a":1}': "json", " [1]": "json", "12": "text", "true": "text", "{not json": "text", "<b>": "text", "": "text" };
  for (const [text, view] of Object.entries(views)) assert.equal(await suggested(utf8(text)), view, text);
  assert.equal(await suggested(hex("a2616119012c6162f93c00")), "cbor");
  for (const bytes of ["00", "ffff", "41000102", "1b"]) assert.equal(await suggested(hex(bytes)), "hex", bytes);
});

test("protobuf without a schema: field, wire type, value, messages within messages", async () => {
  assert.equal(await asProtobuf(hex("089601120774657374696e67")), '1 varint: 150 · sint 75\n2 bytes: "testing"');
  assert.equal(await asProtobuf(hex("1a0308960122020001")), "3 bytes: {\n  1 varint: 150 · sint 75\n}\n4 bytes: 00 01");
  assert.equal(await asProtobuf(hex("08ffffffffffffffffff01")), "1 varint: 18446744073709551615 · -1 · sint -9223372036854775808");
  assert.equal(await asProtobuf(hex("0d0000803f")), "1 fixed32: 1065353216 · float 1");
  assert.equal(await asProtobuf(hex("09000000000000f03f")), "1 fixed64: 4607182418800017408 · double 1");
  // No field 0, no type 6, nothing that is cut off, no number of more than 64 bits.
  for (const bad of ["", "00", "0e", "08", "0896", "1205", "0d00", "08ffffffffffffffffff7f", "12ffffffffffffffffff01"])
    assert.equal(await asProtobuf(hex(bad)), null, bad);
});
