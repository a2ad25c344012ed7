import assert from "node:assert/strict";
import test from "node:test";
import { clock, count, dateTime, dayOfMonth, days, duration, NONE, rate, share, signed } from "../../src/format.ts";

function check<T>(name: string, of: (input: T) => string, cases: [T, string][]) {
  test(name, () => {
    for (const [input, expected] of cases) assert.equal(of(input), expected, `of ${String(input)}`);
  });
}

check<number | null>("counts are grouped, and nothing known is a dash", (value) => count(value), [
  [null, NONE],
  [0, "0"],
  [999, "999"],
  [1842, "1,842"],
  [-1234567, "−1,234,567"],
  [-0.2, "0"],
  [Number.NaN, NONE],
]);

check<number | null>("slow rates keep a digit", rate, [
  [null, NONE],
  [0, "0"],
  [0.44, "0.4"],
  [9.94, "9.9"],
  [1842.4, "1,842"],
]);

check<number | null>("durations take the unit that reads best", duration, [
  [null, NONE],
  [0, "0 ms"],
  [0.0031, "3 ms"],
  [0.0994, "99 ms"],
  [0.0996, "0.1 s"],
  [0.4, "0.4 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [119, "119 s"],
  [120, "2 min"],
  [7199, "119 min"],
  [7200, "2 h"],
  [86_400, "24 h"],
  [172_800, "2 d"],
  [-3, "−3.0 s"],
]);

check<number>("days of cover", days, [
  [0, "0.0"],
  [2.84, "2.8"],
  [9.94, "9.9"],
  [9.96, "10"],
  [21.4, "21"],
  [1000, "99+"],
]);

test("shares and differences", () => {
  assert.equal(share(0.1234), "12.3 %");
  assert.equal(share(null), NONE);
  assert.equal(signed(0.2, 2), "+0.20");
  assert.equal(signed(-0.2, 2), "−0.20");
  assert.equal(signed(0.001, 2), "0.00");
});

test("times are UTC to the second, whatever zone this machine has", () => {
  assert.equal(clock("2026-11-28T14:02:07.123Z", "utc"), "14:02:07");
  assert.equal(dateTime("2026-11-28T14:02:07Z", "utc"), "2026-11-28 14:02:07");
  assert.equal(dayOfMonth("2026-11-28T00:00:00Z", "utc"), "Sat 28");
  assert.equal(clock("never", "utc"), NONE);
  assert.equal(dateTime("infinity", "utc"), "infinity");
});
