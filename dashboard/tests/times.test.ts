import assert from "node:assert/strict";
import test from "node:test";
import { hasWords } from "../src/tail";
import { summed, valuesOf } from "../src/rates";
import { bytes, figure } from "../src/time";
import { number, t, type Key } from "../src/text";
import { href, param, setParams } from "../src/url";

const sample = (ts: number, received: number) => ({ ts, received, sent: 0, dropped: 0, unrouted: 0, received_bytes: 0,
  sent_bytes: 0, connects: 0, connections: 1, subscriptions: 0 });

test("amounts", () => {
  assert.deepEqual([0, 1, 1023, 1024, 1536, 1 << 30, 2 ** 50].map(bytes), ["0 B", "1 B", "1,023 B", "1 KiB", "1.5 KiB", "1 GiB", "1,024 TiB"]);
  assert.deepEqual([0, 0.25, 12.7, 27_310, 1_234_567].map(figure), ["0", "0.3", "13", "27,310", "1.2M"]);
  assert.equal(number(1234.5), "1,235");
});

test("texts without a translation are their key", () => assert.equal(t("nothing.such" as Key), "nothing.such"));

test("nodes are summed by time", () => {
  const history = summed([{ node: "a", rates: [sample(1, 10), sample(2, 11)] }, { node: "b", rates: [sample(1, 5), sample(2, 6)] }], 1);
  assert.deepEqual(history.map(({ ts }) => ts), [1, 2]);
  assert.deepEqual(valuesOf(history, "received"), [15, 17]);
  assert.deepEqual(valuesOf(history, "connections"), [2, 2]);
});

test("silence is a gap, never a zero", () => {
  assert.deepEqual(valuesOf(summed([{ node: "a", rates: [sample(1, 10), sample(10, 11)] }], 1), "received"), [10, null, 11]);
  const halves = summed([{ node: "a", rates: [1, 2, 3, 4, 5, 6].map((ts) => sample(ts, 1)) }, { node: "b", rates: [sample(1, 1)] }], 1);
  assert.deepEqual(valuesOf(halves, "received"), [2, 2, 2, 2, null, null]);
  assert.deepEqual(summed([], 1), []);
});

test("rows are found by words in any case", () => {
  const row = { client_id: "Press-07", topic: "plant/3", ts: 1 };
  assert.ok(hasWords(row, "") && hasWords(row, "press PLANT") && !hasWords(row, "press site"));
});

test("the view is in the address, with any characters", () => {
  assert.equal(param("page"), "2");
  assert.equal(href("client", { id: "a/%2F?&# ü" }), "#/client?node=a%40b&id=a%2F%252F%3F%26%23+%C3%BC");
  setParams({ page: "", _like_client_id: "x&y" });
  assert.equal(location.hash, "#/clients?node=a%40b&_like_client_id=x%26y");
  assert.equal(param("_like_client_id"), "x&y");
});
