/* What the API says, as types. Times are whole milliseconds UTC; values are in the catalogue's unit. */

export type Language = "ja" | "en";
export type Names = Readonly<Record<Language, string>>;
export type Severity = "critical" | "warning" | "advisory" | "info";
export type AlertState = "open" | "acknowledged" | "snoozed" | "ended";

export interface Site {
  id: string;
  name: Names;
  role: string;
  /** What of the farm's data this person may see: alerts, tank, barn, … */
  classes: string[];
}

export interface Session {
  person: { id: string; name: string; language: Language };
  sites: Site[];
  demo: boolean;
}

/** How a value is shown: value * factor + offset, with so many decimals, in `unit`. */
export interface Scale {
  unit: string;
  factor: number;
  offset: number;
  decimals: number;
}

export interface Value extends Scale {
  quantity: string;
  name: Names;
  kind: "gauge" | "counter" | "text";
  value: number | string | null;
  time_ms: number | null;
  every_s: number | null;
}

export interface Subject {
  subject: string;
  device: string;
  gateway?: string | null;
  name: Names;
  role: string | null;
  state: string | null;
  state_ms: number | null;
  values: Value[];
}

export interface Place {
  id: string;
  kind: string;
  name: Names;
  subjects: Subject[];
}

export interface Gateway {
  id: string;
  status: string | null;
  status_ms: number | null;
}

export interface Places {
  time_ms: number;
  places: Place[];
  gateways: Gateway[];
}

/** start_ms, count, min, mean, max, last */
export type Window = [number, number, number, number, number, number];

export interface Limit {
  rule: string;
  title: Names;
  kind: "above" | "below";
  value: number;
}

export interface Windows extends Scale {
  subject: string;
  quantity: string;
  name: Names;
  width_ms: number;
  windows: Window[];
  limits: Limit[];
}

export interface AlertEvent {
  /** 1 is the first of its alert. */
  id: number;
  at_ms: number;
  kind: string;
  who: string | null;
  detail: unknown;
}

export interface Alert {
  id: string;
  rule: string;
  severity: Severity;
  state: AlertState;
  site: string;
  subject: string;
  subject_name: Names;
  place: { id: string; name: Names } | null;
  title: Names;
  message: Names;
  action: Names;
  note: Names | null;
  /** `shown` is one text; `shown_names` the same in each language (a state in words), where the server tells it. */
  signals: { quantity: string; name: Names; shown: string; shown_names?: Names }[];
  onset_ms: number;
  opened_ms: number;
  ended_ms: number | null;
  /** Values are well again since then; it ends when a person says so. */
  over_ms?: number | null;
  acknowledged_ms: number | null;
  acknowledged_by: string | null;
  /** Put off until then, by somebody; it wakes by itself, or when it gets worse. */
  snoozed_until_ms?: number | null;
  snoozed_by?: string | null;
  /** Whose it is to do. */
  assigned_to?: string | null;
  /** Of a rule about life: it cannot be put off. */
  life_safety?: boolean;
  children: { subject: string; name: Names }[];
  events: AlertEvent[];
}

export interface Reading {
  site: string;
  subject: string;
  quantity: string;
  time_ms: number;
  value: number | string;
}

export interface Fault {
  id: string;
  name: Names;
  on: boolean;
}
