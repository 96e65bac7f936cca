/* How values, ages and times are written. Pure: now is a parameter, the zone is the farm's and never the phone's. */
import type { Language, Scale, Value } from "./contract";
import { say } from "./words";

export const FARM_ZONE = "Asia/Tokyo";
const S = 1000;
const MIN = 60 * S;
const HOUR = 60 * MIN;
const DAY = 24 * HOUR;

/** A number in its shown unit, without the unit; `−` and not `-`, never `-0.0`. */
export function shownNumber(value: number, scale: Pick<Scale, "factor" | "offset" | "decimals">): string {
  const text = (value * scale.factor + scale.offset).toFixed(scale.decimals);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "\u2212");
}

/** A number with its unit: `6.2 ℃`, `78 %`, `0.95`. */
export function shownValue(value: number, scale: Scale): string {
  const number = shownNumber(value, scale);
  return scale.unit ? `${number} ${scale.unit}` : number;
}

/** A live value as words and unit: on/off quantities become words, texts stay, none yet says so. */
export function shownParts(value: Value, language: Language): { text: string; unit: string; words: boolean } {
  if (value.value === null) return { text: say(language, "no_value"), unit: "", words: true };
  if (typeof value.value === "string") return { text: value.value, unit: "", words: true };
  if (value.quantity === "switched_on") return { text: say(language, value.value >= 0.5 ? "running" : "stopped"), unit: "", words: true };
  return { text: shownNumber(value.value, value), unit: value.unit, words: false };
}

interface Clock {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
}

const clocks = new Intl.DateTimeFormat("en-GB", {
  timeZone: FARM_ZONE,
  year: "numeric",
  month: "numeric",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

export function farmClock(timeMs: number): Clock {
  const parts: Record<string, number> = {};
  for (const { type, value } of clocks.formatToParts(timeMs)) parts[type] = Number(value);
  const { year = 0, month = 0, day = 0, hour = 0, minute = 0 } = parts;
  return { year, month, day, hour: hour % 24, minute };
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => String(n).padStart(2, "0");

/** 24-hour time on the farm: `5時10分`, `05:10`. */
export function timeOfDay(timeMs: number, language: Language): string {
  const { hour, minute } = farmClock(timeMs);
  return language === "ja" ? `${hour}時${two(minute)}分` : `${two(hour)}:${two(minute)}`;
}

/** The day on the farm: `11月24日`, `24 Nov`; with the year when it is another one. */
export function dayOf(timeMs: number, nowMs: number, language: Language): string {
  const then = farmClock(timeMs);
  const otherYear = then.year !== farmClock(nowMs).year;
  if (language === "ja") return `${otherYear ? `${then.year}年` : ""}${then.month}月${then.day}日`;
  return `${then.day} ${MONTHS[then.month - 1]}${otherYear ? ` ${then.year}` : ""}`;
}

const dayNumber = (c: Clock): number => Math.round(Date.UTC(c.year, c.month - 1, c.day) / DAY);

/** A time as people say it: today without the day, yesterday by its word, older with the date. */
export function when(timeMs: number, nowMs: number, language: Language): string {
  const days = dayNumber(farmClock(nowMs)) - dayNumber(farmClock(timeMs));
  const time = timeOfDay(timeMs, language);
  if (days === 0) return time;
  if (days === 1) return language === "ja" ? `きのう ${time}` : `yesterday ${time}`;
  return `${dayOf(timeMs, nowMs, language)} ${time}`;
}

/** A length of time in its two largest units: `12分`, `3時間 5分`, `2日 4時間`; `12 min`, `3 h 5 min`. */
export function span(lengthMs: number, language: Language): string {
  const ja = language === "ja";
  const ms = Math.max(0, lengthMs);
  if (ms < MIN) return ja ? `${Math.floor(ms / S)}秒` : `${Math.floor(ms / S)} s`;
  const minutes = Math.floor(ms / MIN);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const m = minutes % 60;
  const h = hours % 24;
  if (hours === 0) return ja ? `${minutes}分` : `${minutes} min`;
  if (days === 0) return (ja ? [`${hours}時間`, m && `${m}分`] : [`${hours} h`, m && `${m} min`]).filter(Boolean).join(" ");
  if (days >= 7) return ja ? `${days}日` : `${days} days`;
  return (ja ? [`${days}日`, h && `${h}時間`] : [days === 1 ? "1 day" : `${days} days`, h && `${h} h`]).filter(Boolean).join(" ");
}

/** How old something is, in steps that do not flicker: `たった今`, `20秒前`, `3分前`; a time ahead of now counts as now. */
export function age(timeMs: number, nowMs: number, language: Language): string {
  const ms = Math.max(0, nowMs - timeMs);
  if (ms < 10 * S) return language === "ja" ? "たった今" : "just now";
  if (ms < MIN) return language === "ja" ? `${Math.floor(ms / (10 * S)) * 10}秒前` : `${Math.floor(ms / (10 * S)) * 10} s ago`;
  const coarse = ms < HOUR ? ms - (ms % MIN) : ms < DAY ? ms - (ms % (5 * MIN)) : ms;
  return language === "ja" ? `${span(coarse, language)}前` : `${span(coarse, language)} ago`;
}

/** A value is late after three of its intervals, but never before five minutes. */
export function isLate(value: Pick<Value, "time_ms" | "every_s">, nowMs: number): boolean {
  if (value.time_ms === null) return false;
  return nowMs - value.time_ms > Math.max(3 * (value.every_s ?? 0) * S, 5 * MIN);
}
