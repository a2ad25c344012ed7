import assert from "node:assert/strict";
import test from "node:test";
import type { Code, CodeState } from "../../src/api.ts";
import { applied, CODES_MAX, mergeCodes, NOTHING_YET } from "../../src/live.ts";

function code(id: number, state: CodeState = "issued"): Code {
  const issued_at = new Date(Date.UTC(2026, 10, 28) + id * 1000).toISOString();
  return { promotion_id: `p${id}`, code: `C${id}`, issued_at, state } as Code;
}

test("a code that comes again takes the place of what was known of it", () => {
  const merged = mergeCodes([code(2), code(1)], [code(3), code(1, "redeemed")]);
  assert.deepEqual(merged.map(({ promotion_id, state }) => `${promotion_id} ${state}`), ["p3 issued", "p2 issued", "p1 redeemed"]);
});

test("the feed keeps the newest, whatever the order in which they come", () => {
  const many = Array.from({ length: 2 * CODES_MAX }, (_, index) => code(index));
  const merged = mergeCodes(null, many.toSorted((left, right) => left.code.localeCompare(right.code)));
  assert.equal(merged.length, CODES_MAX);
  assert.equal(merged[0]?.promotion_id, `p${2 * CODES_MAX - 1}`);
});

test("a batch of events is one state, and what it does not concern stays the same object", () => {
  const before = applied(NOTHING_YET, [{ kind: "codes", data: { codes: [code(1)] } }]);
  const after = applied(before, [
    { kind: "worth", data: { at: "", model: "", half_life_hours: null, arms: [] } },
    { kind: "worth", data: { at: "later", model: "", half_life_hours: null, arms: [] } },
  ]);
  assert.equal(after.worth?.at, "later");
  assert.equal(after.codes, before.codes);
  assert.equal(NOTHING_YET.codes, null);
});
