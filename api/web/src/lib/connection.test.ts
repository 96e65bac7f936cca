import { describe, expect, test } from "vitest";

import { backOff, judgeConnection, SILENCE_MS, type Signs } from "./connection";
import { Keep, type Kept } from "./keep";
import { broughtBy, readRoute, writeRoute, type Route } from "./route";

const signs = (change: Partial<Signs> = {}): Signs => ({ heardAt: 1000, open: true, unreachable: false, broker: true, ...change });

describe("connection", () => {
  test("is live only while the stream speaks and the centre has its broker", () => {
    expect(judgeConnection(signs(), 2000)).toBe("live");
    expect(judgeConnection(signs({ broker: false }), 2000)).toBe("stale");
    expect(judgeConnection(signs({ open: false }), 2000)).toBe("connecting");
    expect(judgeConnection(signs({ heardAt: null }), 2000)).toBe("connecting");
    expect(judgeConnection(signs(), 1001 + SILENCE_MS)).toBe("connecting");
    expect(judgeConnection(signs({ unreachable: true }), 2000)).toBe("offline");
  });

  test("tries again soon, then ever less often, never later than 19 s", () => {
    expect(backOff(1, 0.5)).toBe(500);
    expect(backOff(2, 0.5)).toBe(1000);
    expect(backOff(40, 1)).toBeLessThanOrEqual(18_750);
    expect(backOff(1, 0)).toBeLessThan(backOff(1, 1));
  });
});

describe("what the device keeps", () => {
  const shelf = () => {
    const kept = new Map<string, string>();
    return { getItem: (k: string) => kept.get(k) ?? null, setItem: (k: string, v: string) => void kept.set(k, v), removeItem: (k: string) => void kept.delete(k), kept };
  };
  const state = { version: 1, time_ms: 5, site: "s" } as unknown as Kept;

  test("comes back as it was, and is gone when forgotten, choices stay", () => {
    const keep = new Keep(shelf());
    keep.setChoices({ language: "en", textSize: "largest", vibrate: false, site: "s" });
    keep.setState(state);
    expect(keep.state()?.time_ms).toBe(5);
    keep.forget();
    expect(keep.state()).toBeNull();
    expect(keep.choices().textSize).toBe("largest");
  });

  test("broken, foreign, forbidden or full storage is like an empty one", () => {
    const broken = shelf();
    broken.kept.set("makiba.state", "{nonsense");
    broken.kept.set("makiba.choices", "null");
    expect(new Keep(broken).state()).toBeNull();
    expect(new Keep(broken).choices().textSize).toBe("normal");
    const full = { ...shelf(), setItem: () => { throw new Error("QuotaExceededError"); } };
    expect(() => new Keep(full).setState(state)).not.toThrow();
    expect(new Keep(null).choices().language).toBeNull();
    const newer = shelf();
    newer.setItem("makiba.state", JSON.stringify({ ...state, version: 2 }));
    expect(new Keep(newer).state()).toBeNull();
  });
});

describe("addresses", () => {
  test("lead to a page and back", () => {
    const routes: Route[] = [
      { page: "alerts" }, { page: "alert", id: "ab/12" }, { page: "places" }, { page: "series", subject: "soil-3.ch2", quantity: "soil_moisture" }, { page: "settings" },
    ];
    for (const route of routes) expect(readRoute(writeRoute(route))).toEqual(route);
    expect(readRoute("#/nowhere/%E0%A4%A")).toEqual({ page: "alerts" });
    expect(readRoute("")).toEqual({ page: "alerts" });
  });

  test("a sign-in link's code is read only from its own form", () => {
    expect(broughtBy("#join=AB%2FC-1")).toEqual({ kind: "join", code: "AB/C-1" });
    expect(broughtBy("#invite=x")).toEqual({ kind: "invite", code: "x" });
    expect(broughtBy("#first=x")).toEqual({ kind: "first", code: "x" });
    expect(broughtBy("#/alerts")).toBeNull();
    expect(broughtBy("#join=")).toBeNull();
  });
});
