import { beforeEach, describe, expect, test } from "vitest";

import type { Alert, AlertState, Places, Reading, Severity } from "./contract";
import { mergePlaces, mergeReadings, newestEvent, newestValue, putActive, putAlert, sortAlerts, type Alerts } from "./merge";

const names = { ja: "x", en: "x" };
const farm = (time = 1000): Places => ({
  time_ms: time,
  gateways: [{ id: "gw-1", status: "online", status_ms: 0 }],
  places: [
    {
      id: "tank-room", kind: "tank-room", name: names,
      subjects: [
        {
          subject: "tank-1", device: "tank-1", name: names, role: null, state: "ok", state_ms: 500,
          values: [{ quantity: "milk_temperature", name: names, unit: "℃", factor: 1, offset: 0, decimals: 1, kind: "gauge", value: 4, time_ms: 900, every_s: 10 }],
        },
      ],
    },
  ],
});
const reading = (change: Partial<Reading>): Reading => ({ site: "s", subject: "tank-1", quantity: "milk_temperature", time_ms: 2000, value: 5, ...change });

let nextEvent = 0;
const alert = (id: string, state: AlertState, change: Partial<Alert> = {}): Alert => ({
  id, rule: "tank.hold", severity: "critical", state, site: "s", subject: "tank-1", subject_name: names, place: null, title: names, message: names,
  action: names, note: null, signals: [], onset_ms: 0, opened_ms: 0, ended_ms: state === "ended" ? 9 : null, acknowledged_ms: null,
  acknowledged_by: null, children: [], events: [{ id: ++nextEvent, at_ms: 0, kind: state, who: null, detail: null }], ...change,
});
const book = (...alerts: Alert[]): Alerts => alerts.reduce<Alerts>(putAlert, {});

beforeEach(() => {
  nextEvent = 0;
});

describe("readings", () => {
  const shown = (places: Places) => places.places[0]?.subjects[0]?.values[0];

  test("a newer one replaces the value and its time", () => {
    const known = farm();
    expect(mergeReadings(known, "s", [reading({})])).toBe(false);
    expect(shown(known)).toMatchObject({ value: 5, time_ms: 2000 });
  });

  test("an older one changes nothing", () => {
    const known = farm();
    mergeReadings(known, "s", [reading({ time_ms: 800 })]);
    expect(shown(known)).toMatchObject({ value: 4, time_ms: 900 });
  });

  test("of another farm's tank-1 nothing is taken", () => {
    const known = farm();
    expect(mergeReadings(known, "s", [reading({ site: "other" })])).toBe(false);
    expect(shown(known)?.value).toBe(4);
  });

  test("a changed state is taken, and is reason to ask the server; the same one repeated is not", () => {
    const known = farm();
    expect(mergeReadings(known, "s", [reading({ quantity: "state", value: "timeout" })])).toBe(true);
    expect(known.places[0]?.subjects[0]).toMatchObject({ state: "timeout", state_ms: 2000 });
    expect(mergeReadings(known, "s", [reading({ quantity: "state", value: "timeout", time_ms: 3000 })])).toBe(false);
    expect(mergeReadings(known, "s", [reading({ quantity: "state", value: "ok", time_ms: 2500 })])).toBe(false);
    expect(known.places[0]?.subjects[0]?.state).toBe("timeout");
  });

  test("a gateway's change and a new series are reasons to ask; a gateway saying the same is not", () => {
    expect(mergeReadings(farm(), "s", [reading({ subject: "gw-1", quantity: "state", value: "offline" })])).toBe(true);
    expect(mergeReadings(farm(), "s", [reading({ subject: "gw-1", quantity: "state", value: "online" })])).toBe(false);
    expect(mergeReadings(farm(), "s", [reading({ quantity: "milk_volume" })])).toBe(true);
    expect(mergeReadings(farm(), "s", [reading({ subject: "unplaced" })])).toBe(false);
  });

  test("a fresh answer does not take back what the stream brought meanwhile", () => {
    const known = farm();
    mergeReadings(known, "s", [reading({})]);
    expect(shown(mergePlaces(known, farm(1500)))).toMatchObject({ value: 5, time_ms: 2000 });
    expect(newestValue(known.places)).toBe(2000);
    expect(newestValue([])).toBeNull();
  });
});

describe("alerts", () => {
  test("an older saying about an alert does not undo a newer one", () => {
    const opened = alert("a", "open");
    const ended = alert("a", "ended");
    expect(putAlert(book(ended), opened).a?.state).toBe("ended");
    expect(putAlert(book(opened), ended).a?.state).toBe("ended");
  });

  test("what the server no longer lists is gone, except what the stream brought after the question", () => {
    let known = book(alert("old", "open"), alert("elsewhere", "open", { site: "t" }), alert("past", "ended"));
    const askedAt = newestEvent(known);
    known = putAlert(known, alert("new", "open"));
    known = putActive(known, "s", [], askedAt);
    expect(Object.keys(known).sort()).toEqual(["elsewhere", "new", "past"]);
  });

  test("the worst come first, then the newest; the ended ones by their end", () => {
    const of = (id: string, severity: Severity, onset: number): Alert => alert(id, "open", { severity, onset_ms: onset });
    const known = book(of("info", "info", 9), of("late", "warning", 5), of("early", "warning", 1), of("crit", "critical", 0));
    const all = { ...known, ...book(alert("e1", "ended", { ended_ms: 1 }), alert("e2", "ended", { ended_ms: 2 }), alert("t", "open", { site: "t" })) };
    const sorted = sortAlerts(all, "s");
    expect(sorted.open.map((a) => a.id)).toEqual(["crit", "late", "early", "info"]);
    expect(sorted.ended.map((a) => a.id)).toEqual(["e2", "e1"]);
  });
});
