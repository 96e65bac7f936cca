/* Is what is shown as it is now? Pure: the last signs of life and now decide.
 *
 * live: the stream speaks and the centre has its broker. stale: the centre answers, but nothing new reaches it, or the
 * stream is being mended. offline: no answer at all.
 */
export type Connection = "live" | "connecting" | "stale" | "offline";

/** The server says something at least every 10 s; two and a half of them missing means that the line is dead. */
export const SILENCE_MS = 25_000;

export interface Signs {
  /** Phone's clock at the last event of the stream, null before the first. */
  heardAt: number | null;
  /** The stream is open as far as the browser knows. */
  open: boolean;
  /** The last request or attempt got no answer. */
  unreachable: boolean;
  /** The centre has its broker. */
  broker: boolean;
}

export function judgeConnection(signs: Signs, now: number): Connection {
  const silent = signs.heardAt === null || now - signs.heardAt > SILENCE_MS;
  if (signs.unreachable) return "offline";
  if (!signs.open || silent) return "connecting";
  return signs.broker ? "live" : "stale";
}

/** Milliseconds until attempt `failures` (1, 2, …): 0.5 s doubling to 15 s, ± a quarter so that phones do not march. */
export function backOff(failures: number, random: number): number {
  return Math.min(15_000, 500 * 2 ** Math.max(0, failures - 1)) * (0.75 + random / 2);
}
