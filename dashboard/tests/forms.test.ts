import assert from "node:assert/strict";
import test from "node:test";
import { isOn, join, split } from "../src/parts/kinds";
import { fieldOf } from "../src/parts/setting-fields";

test("a value is an amount and a unit", () => {
  assert.deepEqual(split("bytesize", "1MB", "B"), { amount: "1", unit: "MB" });
  assert.deepEqual(split("bytesize", "1mb", "B"), { amount: "1", unit: "MB" });
  assert.deepEqual(split("bytesize", "512", "B"), { amount: "512", unit: "B" });
  assert.deepEqual(split("duration", " 1.5 h ", "s"), { amount: "1.5", unit: "h" });
  for (const other of ["1h30m", "", "many", "1 parsec"]) assert.equal(split("duration", other, "s"), null, other);
  assert.equal(split("integer", "1", ""), null);
});

test("and is written as the configuration has it", () => {
  for (const [kind, value] of [["bytesize", "1MB"], ["bytesize", "512"], ["duration", "30s"]] as const) {
    const { amount, unit } = split(kind, value, kind === "bytesize" ? "B" : "s")!;
    assert.equal(join(amount, unit), value);
  }
});

test("rows of settings become fields", () => {
  const row = { key: "k", value: "true", default: "on", meaning: "" };
  assert.equal(fieldOf({ ...row, kind: "flag" }).value, "on");
  assert.equal(fieldOf({ ...row, kind: "flag", value: "off" }).value, "off");
  assert.equal(fieldOf({ ...row, kind: "enum" }).kind, "string", "a choice without choices is typed");
  assert.equal(fieldOf({ ...row, kind: "of a later version" }).kind, "string");
  assert.equal(fieldOf({ ...row, datatpye: "float" }).kind, "number");
  assert.equal(fieldOf({ ...row, kind: "bytesize", unit: "bytes" }).unit, "B");
  assert.equal(fieldOf({ ...row, kind: "secret", value: "", shown: "******" }).value, "******");
  assert.ok(["on", "TRUE", "enable"].every(isOn) && !["off", "", "1"].some(isOn));
});
