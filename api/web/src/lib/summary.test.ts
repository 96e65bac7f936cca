import { describe, expect, test } from "vitest";

import type { Window } from "./contract";
import { againstYesterday, columns, meanOf, rows, summarise } from "./summary";

const HOUR = 3600_000;
const MIDNIGHT = Date.parse("2026-01-15T00:00:00+09:00");
const degrees = { unit: "℃", factor: 1, offset: 0, decimals: 1 };
const window = (at: number, mean: number, count = 1): Window => [at, count, mean - 1, mean, mean + 1, mean];

describe("a chart in words", () => {
  test("finds the highest and the lowest with their times", () => {
    const summary = summarise([window(0, 4), window(10, 9), window(20, 2)]);
    expect(summary).toMatchObject({ highest: { value: 10, at_ms: 10 }, lowest: { value: 1, at_ms: 20 }, first_ms: 0 });
    expect(summarise([])).toBeNull();
  });

  test("a mean counts every reading once", () => {
    expect(meanOf([window(0, 1, 3), window(1, 5, 1)])).toBe(2);
    expect(meanOf([])).toBeNull();
  });

  test("a difference that would be shown as nothing is none", () => {
    expect(againstYesterday(4.04, 4.0, degrees)).toBe(0);
    expect(againstYesterday(5.5, 4, degrees)).toBeCloseTo(1.5);
    expect(againstYesterday(5e-6, 4e-6, { ...degrees, factor: 1e6 })).toBeCloseTo(1);
    expect(againstYesterday(null, 4, degrees)).toBeNull();
  });

  test("rows are the farm's hours, newest first; a week is told by days", () => {
    const windows = [0, 0.5, 1, 1.5].map((h) => window(MIDNIGHT + h * HOUR, h));
    const hourly = rows(windows, 24 * HOUR);
    expect(hourly.map((r) => [r.start_ms, r.mean])).toEqual([[MIDNIGHT + HOUR, 1.25], [MIDNIGHT, 0.25]]);
    expect(rows([window(MIDNIGHT - HOUR, 1), ...windows], 7 * 24 * HOUR)).toHaveLength(2);
  });

  test("a hole in the records is left open, a slow sensor's rhythm is not a hole", () => {
    const minute = 60_000;
    const fast = [0, 1, 2, 30, 31].map((m) => window(m * minute, 4));
    expect(columns(fast, minute, degrees).mean).toEqual([4, 4, 4, null, 4, 4]);
    const slow = [0, 10, 20, 30].map((m) => window(m * minute, 4));
    expect(columns(slow, minute, degrees).mean).toEqual([4, 4, 4, 4]);
  });
});
