/* What is known + what came in = what is known now. No clock, no network, no storage.
 *
 * Guarantees: an older reading never replaces a newer one; an alert never goes back to an earlier state because two
 * answers crossed on the way.
 */
import type { Alert, Place, Places, Reading, Severity, Subject, Value } from "./contract";

const SEVERITIES: readonly Severity[] = ["critical", "warning", "advisory", "info"];

export const severityRank = (severity: Severity): number => SEVERITIES.indexOf(severity);

/** Puts readings into `known` (changed in place, so that only what moved is drawn again).
 *
 * True when something came that the known places do not explain (a new series, a changed state of a whole device or
 * line): the caller then asks the server, which knows what follows from it.
 */
export function mergeReadings(known: Places, site: string, readings: readonly Reading[]): boolean {
  const wanted = new Map<string, Reading[]>();
  for (const reading of readings) {
    if (reading.site !== site) continue;
    const list = wanted.get(reading.subject);
    if (list) list.push(reading);
    else wanted.set(reading.subject, [reading]);
  }
  let unexplained = false;
  for (const subject of subjectsOf(known.places)) {
    for (const reading of wanted.get(subject.subject) ?? []) unexplained = mergeOne(subject, reading) || unexplained;
    wanted.delete(subject.subject);
  }
  for (const list of wanted.values()) unexplained = unexplained || list.some((r) => isNews(known, r));
  return unexplained;
}

function mergeOne(subject: Subject, reading: Reading): boolean {
  if (reading.quantity === "state") {
    if (reading.time_ms < (subject.state_ms ?? 0)) return false;
    const changed = subject.state !== reading.value;
    subject.state = String(reading.value);
    subject.state_ms = reading.time_ms;
    return changed;
  }
  const value = subject.values.find((v) => v.quantity === reading.quantity);
  if (!value) return true;
  if (value.time_ms === null || reading.time_ms >= value.time_ms) {
    value.value = reading.value;
    value.time_ms = reading.time_ms;
  }
  return false;
}

/* A state of something that is no subject of a place: a gateway, a line, a device with several channels. */
function isNews(known: Places, reading: Reading): boolean {
  if (reading.quantity !== "state") return false;
  const gateway = known.gateways.find((g) => g.id === reading.subject);
  if (gateway) return gateway.status !== reading.value;
  return reading.time_ms > known.time_ms;
}

export function subjectsOf(places: readonly Place[]): Subject[] {
  return places.flatMap((place) => place.subjects);
}

/** A fresh answer of the server over what is known: readings that came meanwhile by the stream stay. */
export function mergePlaces(known: Places | null, fresh: Places): Places {
  if (!known) return fresh;
  const before = new Map<string, Value>();
  for (const subject of subjectsOf(known.places)) for (const value of subject.values) before.set(`${subject.subject}/${value.quantity}`, value);
  for (const subject of subjectsOf(fresh.places)) {
    for (const value of subject.values) {
      const old = before.get(`${subject.subject}/${value.quantity}`);
      if (old?.time_ms != null && old.time_ms > (value.time_ms ?? 0)) {
        value.value = old.value;
        value.time_ms = old.time_ms;
      }
    }
  }
  return fresh;
}

/** Which of two sayings about one alert is the newer one: its last event decides. */
export function alertVersion(alert: Alert): number {
  return alert.events.reduce((last, event) => Math.max(last, event.id), 0);
}

export type Alerts = Readonly<Record<string, Alert>>;

/** One alert into the book; an older saying about it changes nothing. */
export function putAlert(known: Alerts, alert: Alert): Alerts {
  const old = known[alert.id];
  if (old && alertVersion(old) > alertVersion(alert)) return known;
  return { ...known, [alert.id]: alert };
}

/** The server's list of active alerts of `site`, asked for when the newest known event was `askedAt`: what is no longer
 * in it has ended meanwhile and goes, unless the stream brought it later than the question. */
export function putActive(known: Alerts, site: string, active: readonly Alert[], askedAt: number): Alerts {
  const listed = new Set(active.map((alert) => alert.id));
  const kept = Object.values(known).filter(
    (alert) => alert.site !== site || alert.state === "ended" || listed.has(alert.id) || alertVersion(alert) > askedAt,
  );
  let book: Alerts = Object.fromEntries(kept.map((alert) => [alert.id, alert]));
  for (const alert of active) book = putAlert(book, alert);
  return book;
}

export const newestEvent = (known: Alerts): number =>
  Object.values(known).reduce((last, alert) => Math.max(last, alertVersion(alert)), 0);

/** `acknowledged`: somebody knows; those put off too. */
export interface Sorted {
  open: Alert[];
  acknowledged: Alert[];
  ended: Alert[];
}

/** The book as pages show it: worst first, then newest; the ended ones by when they ended. */
export function sortAlerts(known: Alerts, site: string): Sorted {
  const mine = Object.values(known).filter((alert) => alert.site === site);
  const worst = (a: Alert, b: Alert): number => severityRank(a.severity) - severityRank(b.severity) || b.onset_ms - a.onset_ms;
  return {
    open: mine.filter((a) => a.state === "open").sort(worst),
    acknowledged: mine.filter((a) => a.state === "acknowledged" || a.state === "snoozed").sort(worst),
    ended: mine.filter((a) => a.state === "ended").sort((a, b) => (b.ended_ms ?? 0) - (a.ended_ms ?? 0)),
  };
}

/** The time of the newest value of all, null when there is none. */
export function newestValue(places: readonly Place[]): number | null {
  let newest: number | null = null;
  for (const subject of subjectsOf(places)) {
    for (const value of subject.values) if (value.time_ms !== null && value.time_ms > (newest ?? 0)) newest = value.time_ms;
  }
  return newest;
}
