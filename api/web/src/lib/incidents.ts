/* What befell many farms at once: what the API says of it, and how it is sorted for who looks. No clock, no network. */
import type { Names } from "./contract";
import type { Word } from "./words";

export type Answer = "ok" | "generator" | "people";
export const ANSWERS: readonly Answer[] = ["ok", "generator", "people"];

export interface IncidentFarm {
  site: string;
  name: Names;
  onset_ms: number;
  ended_ms: number | null;
  /** As the farm says of itself, null where it does not. */
  generator: boolean | null;
  cows: number | null;
  answer: Answer | null;
  answered_ms: number | null;
  may_answer: boolean;
}

export interface Incident {
  id: string;
  kind: "power" | "link";
  title: Names;
  onset_ms: number;
  ended_ms: number | null;
  /** Those that the viewer may see, who needs help first. */
  farms: IncidentFarm[];
  /** How many there are, null where that would say something of a single one. */
  farms_in_all: number | null;
  still_hit: number;
}

export interface IncidentPage {
  rows: Incident[];
  next: string | null;
}

/** How a farm is, in the order in which help goes out. */
export type Standing = "generator" | "people" | "silent" | "ok" | "back";
export const STANDINGS: readonly Standing[] = ["generator", "people", "silent", "ok", "back"];

export const STANDING_WORDS: Readonly<Record<Standing, Word>> = {
  generator: "needs_generator",
  people: "needs_people",
  silent: "no_answer_yet",
  ok: "all_right",
  back: "is_back",
};
export const ANSWER_WORDS: Readonly<Record<Answer, Word>> = { ok: "all_right", generator: "needs_generator", people: "needs_people" };

export const standingOf = (farm: IncidentFarm): Standing => (farm.ended_ms !== null ? "back" : (farm.answer ?? "silent"));

export const goesOn = (incident: Incident): boolean => incident.ended_ms === null;

/** Goes on, and on a farm that the viewer may see. */
export const concerns = (incident: Incident): boolean => goesOn(incident) && incident.still_hit > 0;

/** Farms that are still hit and whose people the viewer is one of, without an answer. */
export const toAnswer = (incident: Incident): IncidentFarm[] =>
  goesOn(incident) ? incident.farms.filter((farm) => farm.may_answer && standingOf(farm) === "silent") : [];

export const ownFarms = (incident: Incident): IncidentFarm[] => incident.farms.filter((farm) => farm.may_answer);
export const otherFarms = (incident: Incident): IncidentFarm[] => incident.farms.filter((farm) => !farm.may_answer);

/** How many farms stand how; those that none does are left out. */
export function tally(farms: readonly IncidentFarm[]): [Standing, number][] {
  return STANDINGS.map((one): [Standing, number] => [one, farms.filter((farm) => standingOf(farm) === one).length]).filter(([, n]) => n > 0);
}

/** `rows` with the farm `farm` of `incident` as it is now. */
export function putFarm(rows: readonly Incident[], incident: string, farm: IncidentFarm): Incident[] {
  return rows.map((row) => (row.id === incident ? { ...row, farms: row.farms.map((one) => (one.site === farm.site ? farm : one)) } : row));
}

/** The newest rows, and behind them what was read further back. */
export function joinRows(newest: readonly Incident[], further: readonly Incident[]): Incident[] {
  const known = new Set(newest.map((row) => row.id));
  return [...newest, ...further.filter((row) => !known.has(row.id))];
}
