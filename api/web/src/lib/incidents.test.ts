import { describe, expect, test } from "vitest";

import { concerns, joinRows, ownFarms, otherFarms, putFarm, standingOf, tally, toAnswer, type Incident, type IncidentFarm } from "./incidents";

const names = { ja: "x", en: "x" };
const farm = (site: string, change: Partial<IncidentFarm> = {}): IncidentFarm => ({
  site, name: names, onset_ms: 0, ended_ms: null, generator: null, cows: null, answer: null, answered_ms: null, may_answer: false, ...change,
});
const incident = (id: string, farms: IncidentFarm[], ended: number | null = null): Incident => ({
  id, kind: "power", title: names, onset_ms: 0, ended_ms: ended, farms, farms_in_all: null, still_hit: farms.filter((f) => f.ended_ms === null).length,
});

describe("incidents", () => {
  test("a farm that is back is back, whatever it has answered", () => {
    expect(standingOf(farm("a"))).toBe("silent");
    expect(standingOf(farm("a", { answer: "people" }))).toBe("people");
    expect(standingOf(farm("a", { answer: "people", ended_ms: 9 }))).toBe("back");
  });

  test("the sum of how farms stand begins with who needs help and leaves out what there is not", () => {
    const farms = [farm("a"), farm("b", { answer: "ok" }), farm("c", { answer: "generator" }), farm("d", { ended_ms: 9 }), farm("e")];
    expect(tally(farms)).toEqual([["generator", 1], ["silent", 2], ["ok", 1], ["back", 1]]);
  });

  test("it concerns somebody while a farm they may see is hit", () => {
    expect(concerns(incident("i", [farm("a")]))).toBe(true);
    expect(concerns(incident("i", [farm("a", { ended_ms: 9 })]))).toBe(false);
    expect(concerns(incident("i", [farm("a")], 9))).toBe(false);
  });

  test("only one's own farm is asked, once, while it goes on", () => {
    const mine = farm("a", { may_answer: true });
    const both = incident("i", [mine, farm("b")]);
    expect(toAnswer(both).map((f) => f.site)).toEqual(["a"]);
    expect(toAnswer(incident("i", [mine], 9))).toEqual([]);
    expect(toAnswer(incident("i", [{ ...mine, answer: "ok" }]))).toEqual([]);
    expect([ownFarms(both), otherFarms(both)].map((list) => list.map((f) => f.site))).toEqual([["a"], ["b"]]);
  });

  test("an answer changes one farm of one incident", () => {
    const rows = [incident("i", [farm("a"), farm("b")]), incident("j", [farm("a")])];
    const after = putFarm(rows, "i", farm("a", { answer: "ok" }));
    expect(after.map((row) => row.farms.map((f) => f.answer))).toEqual([["ok", null], [null]]);
    expect(rows[0]?.farms[0]?.answer).toBeNull();
  });

  test("what was read further back stays behind the newest, each once", () => {
    const [a, b, c] = ["a", "b", "c"].map((id) => incident(id, []));
    if (!a || !b || !c) throw new Error("three");
    expect(joinRows([a, b], [b, c]).map((row) => row.id)).toEqual(["a", "b", "c"]);
  });
});
