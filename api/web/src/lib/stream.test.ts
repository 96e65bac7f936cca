/* The stream's life with a browser that is only events and a clock: when it connects again, and when it must not. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { SILENCE_MS } from "./connection";
import { Stream, type Listener } from "./stream";

class FakeSource extends EventTarget {
  static all: FakeSource[] = [];
  onerror: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {
    super();
    FakeSource.all.push(this);
  }
  close(): void {
    this.closed = true;
  }
  say(name: string, data: unknown): void {
    this.dispatchEvent(Object.assign(new Event(name), { data: JSON.stringify(data) }));
  }
}

const open = (): FakeSource[] => FakeSource.all.filter((source) => !source.closed);
const newest = (): FakeSource => FakeSource.all[FakeSource.all.length - 1] as FakeSource;
let calls: string[];
let stream: Stream;
let page: EventTarget & { visibilityState: string };
let frame: EventTarget;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSource.all = [];
  calls = [];
  page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  frame = Object.assign(new EventTarget(), {
    setTimeout: setTimeout.bind(globalThis), clearTimeout: clearTimeout.bind(globalThis),
    setInterval: setInterval.bind(globalThis), clearInterval: clearInterval.bind(globalThis),
  });
  vi.stubGlobal("EventSource", FakeSource);
  vi.stubGlobal("document", page);
  vi.stubGlobal("window", frame);
  const note = (name: string) => (): void => void calls.push(name);
  const listener: Listener = {
    onOpen: note("open"), onLost: note("lost"), onTime: () => undefined, onReadings: note("readings"), onAlert: note("alert"), onBroker: note("broker"),
  };
  stream = new Stream("/stream", listener);
  stream.start();
});

afterEach(() => {
  stream.stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("each connection is told, so that what was missed can be read", () => {
  newest().say("hello", { time_ms: 1 });
  newest().onerror?.();
  vi.advanceTimersByTime(700);
  newest().say("hello", { time_ms: 2 });
  expect(calls).toEqual(["open", "lost", "open"]);
  expect(open()).toHaveLength(1);
});

test("while the server is away attempts become rarer", () => {
  const attempts = (ms: number): number => {
    const before = FakeSource.all.length;
    for (let t = 0; t < ms; t += 100) {
      vi.advanceTimersByTime(100);
      if (!newest().closed) newest().onerror?.();
    }
    return FakeSource.all.length - before;
  };
  newest().onerror?.();
  const first = attempts(15_000);
  attempts(60_000);
  expect(first).toBeGreaterThanOrEqual(3);
  expect(attempts(60_000)).toBeLessThanOrEqual(6);
});

test("a line that died without a word is noticed", () => {
  newest().say("hello", { time_ms: 1 });
  vi.advanceTimersByTime(SILENCE_MS - 1000);
  newest().say("ping", { time_ms: 2 });
  vi.advanceTimersByTime(SILENCE_MS - 1000);
  expect(calls).not.toContain("lost");
  vi.advanceTimersByTime(10_000);
  expect(calls).toContain("lost");
});

test("a phone that wakes up connects at once, and leaves a line alone that has just spoken", () => {
  newest().say("hello", { time_ms: 1 });
  page.dispatchEvent(new Event("visibilitychange"));
  expect(FakeSource.all).toHaveLength(1);
  vi.setSystemTime(Date.now() + 3600_000); // asleep: timers did not run
  page.dispatchEvent(new Event("visibilitychange"));
  expect(FakeSource.all).toHaveLength(2);
  expect(open()).toHaveLength(1);
});

test("what an old connection still says is not heard, and a stopped stream stays stopped", () => {
  const old = newest();
  old.onerror?.();
  vi.advanceTimersByTime(700);
  old.say("alert", {});
  expect(calls).toEqual(["lost"]);
  stream.stop();
  frame.dispatchEvent(new Event("online"));
  vi.advanceTimersByTime(60_000);
  expect(open()).toHaveLength(0);
});
