/* What a chart says in words: highest, lowest, against yesterday, and its numbers by the hour. Pure. */
import type { Scale, Window } from "./contract";
import { farmClock } from "./show";

export interface Extreme {
  value: number;
  at_ms: number;
}

export interface Summary {
  highest: Extreme;
  lowest: Extreme;
  first_ms: number;
}

/** Highest and lowest with the window's start as their time; null when nothing was recorded. */
export function summarise(windows: readonly Window[]): Summary | null {
  const first = windows[0];
  if (!first) return null;
  let highest: Extreme = { value: first[4], at_ms: first[0] };
  let lowest: Extreme = { value: first[2], at_ms: first[0] };
  for (const [at_ms, , min, , max] of windows) {
    if (max > highest.value) highest = { value: max, at_ms };
    if (min < lowest.value) lowest = { value: min, at_ms };
  }
  return { highest, lowest, first_ms: first[0] };
}

/** The mean of all readings in the windows, each window counting as often as it has readings; null without any. */
export function meanOf(windows: readonly Window[]): number | null {
  let count = 0;
  let sum = 0;
  for (const [, n, , mean] of windows) {
    count += n;
    sum += n * mean;
  }
  return count ? sum / count : null;
}

/** Now against yesterday, in shown units: null when either is missing, 0 when the difference would be shown as 0. */
export function againstYesterday(today: number | null, yesterday: number | null, scale: Scale): number | null {
  if (today === null || yesterday === null) return null;
  const difference = (today - yesterday) * scale.factor;
  return Math.abs(difference) < 0.5 * 10 ** -scale.decimals ? 0 : difference;
}

export interface Row {
  start_ms: number;
  min: number;
  mean: number;
  max: number;
}

/** The windows folded to one row per hour of the farm's clock (per day for charts longer than two days), newest first. */
export function rows(windows: readonly Window[], rangeMs: number): Row[] {
  const daily = rangeMs > 48 * 3600e3;
  const fold = rangeMs <= 2 * 3600e3 ? 300e3 : 3600e3;
  const folded = new Map<string, { start_ms: number; windows: Window[] }>();
  for (const window of windows) {
    const clock = farmClock(window[0]);
    const key = daily ? `${clock.year}-${clock.month}-${clock.day}` : String(Math.floor(window[0] / fold));
    const row = folded.get(key);
    if (row) row.windows.push(window);
    else folded.set(key, { start_ms: daily ? window[0] : Math.floor(window[0] / fold) * fold, windows: [window] });
  }
  return [...folded.values()].reverse().map(({ start_ms, windows: list }) => ({
    start_ms,
    min: Math.min(...list.map((w) => w[2])),
    mean: meanOf(list) ?? NaN,
    max: Math.max(...list.map((w) => w[4])),
  }));
}

export interface Columns {
  x: number[];
  mean: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
}

/** Columns for drawing, in shown units and seconds; where windows are missing a gap is left, never a line across it. */
export function columns(windows: readonly Window[], widthMs: number, scale: Scale): Columns {
  const out: Columns = { x: [], mean: [], min: [], max: [] };
  const put = (timeMs: number, values: readonly [number, number, number] | null): void => {
    out.x.push(timeMs / 1000);
    const shown = (v: number): number => v * scale.factor + scale.offset;
    out.min.push(values && shown(values[0]));
    out.mean.push(values && shown(values[1]));
    out.max.push(values && shown(values[2]));
  };
  const usual = usualStep(windows, widthMs);
  let before: number | null = null;
  for (const [at, , min, mean, max] of windows) {
    if (before !== null && at - before > 2.5 * usual) put(before + usual, null);
    put(at, [min, mean, max]);
    before = at;
  }
  return out;
}

/* A slow sensor has a reading only in every n-th window: its own step, not the width, tells what is a gap. */
function usualStep(windows: readonly Window[], widthMs: number): number {
  const steps = windows.slice(1).map((w, i) => w[0] - (windows[i]?.[0] ?? 0));
  steps.sort((a, b) => a - b);
  return Math.max(widthMs, steps[Math.floor(steps.length / 2)] ?? widthMs);
}
