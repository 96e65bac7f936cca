import { describe, expect, test } from "vitest";

import type { Value } from "./contract";
import { age, dayOf, isLate, shownNumber, shownParts, shownValue, span, timeOfDay, when } from "./show";

const at = (iso: string): number => Date.parse(iso);
const NOON = at("2026-01-15T12:00:00+09:00");
const degrees = { unit: "℃", factor: 1, offset: 0, decimals: 1 };
const value = (change: Partial<Value>): Value => ({
  ...degrees, quantity: "air_temperature", name: { ja: "気温", en: "air temperature" }, kind: "gauge", value: 1, time_ms: NOON, every_s: 30, ...change,
});

describe("values", () => {
  test("are scaled from the catalogue's unit to the shown one", () => {
    expect(shownValue(5.5e-6, { unit: "ppm", factor: 1e6, offset: 0, decimals: 1 })).toBe("5.5 ppm");
    expect(shownValue(101325, { unit: "hPa", factor: 0.01, offset: 0, decimals: 1 })).toBe("1013.3 hPa");
    expect(shownValue(0.95, { unit: "", factor: 1, offset: 0, decimals: 2 })).toBe("0.95");
    expect(shownValue(0, { unit: "°F", factor: 1.8, offset: 32, decimals: 0 })).toBe("32 °F");
  });

  test("below zero carry a minus sign, but never a minus zero", () => {
    expect(shownNumber(-18.04, degrees)).toBe("\u221218.0");
    expect(shownNumber(-0.04, degrees)).toBe("0.0");
    expect(shownNumber(-0.4, { ...degrees, decimals: 0 })).toBe("0");
  });

  test("on and off are words, text stays text, and nothing yet says so", () => {
    expect(shownParts(value({ quantity: "switched_on", value: 1, unit: "" }), "ja").text).toBe("動いて います");
    expect(shownParts(value({ quantity: "switched_on", value: 0, unit: "" }), "en").text).toBe("stopped");
    expect(shownParts(value({ kind: "text", value: "v1.2" }), "ja")).toEqual({ text: "v1.2", unit: "", words: true });
    expect(shownParts(value({ value: null }), "en").text).toBe("none yet");
    expect(shownParts(value({ value: 6.24 }), "ja")).toEqual({ text: "6.2", unit: "℃", words: false });
  });

  test("are late after three intervals, never before five minutes", () => {
    expect(isLate({ time_ms: NOON, every_s: 10 }, NOON + 299_000)).toBe(false);
    expect(isLate({ time_ms: NOON, every_s: 10 }, NOON + 301_000)).toBe(true);
    expect(isLate({ time_ms: NOON, every_s: 600 }, NOON + 1_700_000)).toBe(false);
    expect(isLate({ time_ms: NOON, every_s: 600 }, NOON + 1_801_000)).toBe(true);
    expect(isLate({ time_ms: null, every_s: 10 }, NOON)).toBe(false);
  });
});

describe("times", () => {
  test("are those of the farm, on a 24-hour clock", () => {
    expect(timeOfDay(at("2026-01-14T20:10:59Z"), "ja")).toBe("5時10分");
    expect(timeOfDay(at("2026-01-14T20:10:59Z"), "en")).toBe("05:10");
    expect(timeOfDay(at("2026-01-14T15:00:00Z"), "en")).toBe("00:00");
    expect(timeOfDay(at("2026-01-15T06:05:00Z"), "ja")).toBe("15時05分");
  });

  test("today has no day, yesterday its word, older ones a date, other years a year", () => {
    expect(when(at("2026-01-15T00:00:00+09:00"), NOON, "ja")).toBe("0時00分");
    expect(when(at("2026-01-14T23:59:00+09:00"), NOON, "ja")).toBe("きのう 23時59分");
    expect(when(at("2026-01-14T23:59:00+09:00"), NOON, "en")).toBe("yesterday 23:59");
    expect(when(at("2026-01-02T07:00:00+09:00"), NOON, "en")).toBe("2 Jan 07:00");
    expect(when(at("2025-12-31T07:00:00+09:00"), NOON, "ja")).toBe("2025年12月31日 7時00分");
    expect(dayOf(at("2025-12-31T07:00:00+09:00"), NOON, "en")).toBe("31 Dec 2025");
  });

  test("lengths are told in their two largest units", () => {
    expect(span(42_000, "ja")).toBe("42秒");
    expect(span(12 * 60_000 + 59_000, "ja")).toBe("12分");
    expect(span(185 * 60_000, "ja")).toBe("3時間 5分");
    expect(span(3 * 3600_000, "en")).toBe("3 h");
    expect(span(28 * 3600_000, "en")).toBe("1 day 4 h");
    expect(span(9.5 * 86400_000, "ja")).toBe("9日");
    expect(span(-5, "ja")).toBe("0秒");
  });

  test("ages go in steps and do not go below now when clocks disagree", () => {
    expect(age(NOON - 3_000, NOON, "ja")).toBe("たった今");
    expect(age(NOON + 90_000, NOON, "ja")).toBe("たった今");
    expect(age(NOON - 29_000, NOON, "ja")).toBe("20秒前");
    expect(age(NOON - 12.9 * 60_000, NOON, "en")).toBe("12 min ago");
    expect(age(NOON - 64 * 60_000, NOON, "ja")).toBe("1時間前");
    expect(age(NOON - 66 * 60_000, NOON, "ja")).toBe("1時間 5分前");
    expect(age(NOON - 31 * 86400_000, NOON, "en")).toBe("31 days ago");
  });
});
