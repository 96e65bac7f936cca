/* How a person is told: their addresses, LINE, wishes, what they were sent. Requests only. */
import { send, take } from "./api";
import type { Language, Names, Severity } from "./contract";

export type Channel = "push" | "line" | "mail" | "sms" | "voice" | "webhook";

export interface Address {
  id: string;
  channel: Channel;
  label: string;
  shown: string;
  verified_ms: number | null;
  gone_ms: number | null;
  version: number;
}

export interface Line {
  here: boolean;
  account: string;
  friend_address: string | null;
  linked_ms: number | null;
  linked_id: string | null;
}

export interface LineCode {
  code: string;
  address: string | null;
  qr_svg: string | null;
  expires_ms: number;
}

export interface Wishes {
  language: Language;
  channels: Record<Severity, Channel[]>;
  quiet: { from_minute: number; to_minute: number } | null;
  night_budget: number;
  morning_list: boolean;
  version: number;
}

export interface Sent {
  id: string;
  kind: string;
  channel: Channel | null;
  severity: Severity;
  state: string;
  state_name: Names;
  title: Names | null;
  alert_id: string | null;
  created_ms: number;
}

const part = encodeURIComponent;
const at = (id: string): string => `/me/addresses/${part(id)}`;
const match = (version: number): Record<string, string> => ({ "If-Match": `"${version}"` });

export const told = {
  channels: async () => (await take<{ open: Channel[] }>("GET", "/me/channels")).open,
  addresses: async () => (await take<{ rows: Address[] }>("GET", "/me/addresses")).rows,
  add: (channel: Channel, address: string) => take<Address & { secret: string | null }>("POST", "/me/addresses", { channel, address }),
  codeAgain: (id: string) => send("POST", `${at(id)}/code`),
  verify: (id: string, code: string) => send("POST", `${at(id)}/verify`, { code }),
  remove: (one: Address) => send("DELETE", at(one.id), undefined, match(one.version)),
  test: (id: string) => send("POST", `${at(id)}/test`),
  line: () => take<Line>("GET", "/line"),
  lineCode: () => take<LineCode>("POST", "/line/code"),
  wishes: () => take<Wishes>("GET", "/me/wishes"),
  setWishes: async ({ version, ...said }: Wishes) => (await (await send("PUT", "/me/wishes", said, match(version))).json()) as Wishes,
  sent: async () => (await take<{ rows: Sent[] }>("GET", "/me/messages?limit=20")).rows,
};

/** Minutes of a day as `HH:MM`, and back. */
export const clock = (minute: number): string => `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
export const minuteOf = (text: string): number => {
  const [hours = 0, minutes = 0] = text.split(":").map(Number);
  return (hours * 60 + minutes) % 1440;
};
