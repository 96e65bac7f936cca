/* All words of the pages in plain Japanese and English. Japanese has spaces between words (分かち書き), short sentences,
 * です・ます, no honorifics. `{x}` is filled in.
 */
import type { Language, Names } from "./contract";

const ja = {
  app: "まきば",
  app_sub: "牧場の 見守り",
  language: "ことば",
  other_language: "English",
  loading: "読みこんで います",
  retry: "もう一度",
  back: "もどる",
  skip: "本文へ",

  login: "ログイン名",
  password: "パスワード",
  sign_in: "入る",
  signing_in: "確認して います",
  show_password: "パスワードを 見る",
  sign_in_wrong: "ログイン名か パスワードが ちがいます。もう一度 入れてください。",
  sign_in_unreachable: "センターに つながりません。電波を 見て、もう一度 押してください。",
  sign_in_refused: "今は 入れません。少し 待ってから、もう一度 押してください。",
  sign_in_help: "わからない ときは、農協の 担当に 聞いてください。",
  join_used: "この リンクは もう 使えません。新しい リンクを もらってください。",
  signed_out: "もう一度 入ってください。",

  nav: "ページ",
  nav_alerts: "知らせ",
  nav_places: "ようす",
  nav_settings: "設定",
  farm: "牧場",
  farm_open: "{name}（知らせ {n}）",
  other_farms: "ほかの 牧場の 知らせ",

  live: "つながって います",
  stale_long: "センターへ 新しい 値が 来て いません。{age}の ようすを 見て います。",
  connecting: "つなぎなおして います",
  connecting_long: "つなぎなおして います。{age}の ようすを 見て います。",
  offline_long: "つながって いません。{age}の ようすを 見て います。電波を 見てください。",
  nothing_kept: "つながって いません。見せられる ものが まだ ありません。",

  critical: "危険",
  warning: "注意",
  advisory: "連絡",
  info: "お知らせ",

  alerts: "知らせ",
  open_alerts: "まだ 見て いない",
  seen_alerts: "見ました",
  ended_alerts: "終わった 知らせ",
  ended_none: "終わった 知らせは ありません。",
  ended_more: "終わった 知らせを 見る（{n}）",
  what_to_do: "すること",
  since: "{time}から {span}",
  ended_at: "{time}に 終わりました（{span}）",
  seen: "見ました",
  seen_hint: "ほかの 人に「見た」と 伝わります",
  seen_by: "{who}さんが 見ました（{time}）",
  seen_by_nobody: "まだ だれも 見て いません",
  seen_offline: "つながって いないので、今は 伝えられません。",
  seen_sending: "伝えて います",
  seen_failed: "伝わりませんでした。もう一度 押してください。",
  children: "この 中に {n}台",
  history: "これまで",
  new_alert: "新しい 知らせ。{severity}。{title}",
  alert_over: "終わりました。{title}",
  alert_gone: "この 知らせは 見つかりません。",

  calm: "今は 問題 ありません",
  calm_watching: "{n}の センサー、すべて 届いて います。",
  calm_none: "センサーは まだ ありません。",
  calm_partly: "{n}の センサーの うち、{m}が 届いて いません。",
  calm_since: "最後の 値 {time}",
  calm_unknown: "問題は 届いて いません。ただ、{age}の ようすです。",
  no_guarantee: "まきばは 見る 手伝いです。牛舎も 見てください。",

  places: "ようす",
  no_places: "場所は まだ ありません。",
  no_values: "値は まだ ありません",
  no_value: "まだ ありません",
  more_values: "ほかの 値（{n}）",
  running: "動いて います",
  stopped: "止まって います",
  gateway_offline: "中継機（{id}）から 連絡が ありません。電源か 回線が 止まって います。",
  gateway_stopped: "中継機（{id}）を 止めて います。",
  value_old: "古い 値です",

  state_timeout: "センサーが 答えません。電源と 線を 見てください。",
  state_crc: "線に 雑音が あります。線の つなぎを 見てください。",
  state_exception: "センサーが 断りました（番号 {n}）。設定を 見てください。",
  state_sentinel: "センサーの 先が 外れて います。さしこみを 見てください。",
  "state_out-of-range": "ありえない 値です。センサーを 見てください。",
  "state_bus-down": "線が 切れて います。中継機の 線を 見てください。",
  state_silent: "この 線の センサーが 全部 答えません。線と 電源を 見てください。",
  state_unreachable: "センサーに つながりません。線と 電源を 見てください。",
  state_invalid: "センサーの 答えが おかしいです。型番と 設定を 見てください。",
  state_down: "線が 使えません。中継機の 線を 見てください。",
  "state_no-data": "値が 来て いません。センサーを 見てください。",
  state_stuck: "同じ 値の ままです。センサーを 見てください。",
  state_offline: "連絡が ありません。電源か 回線を 見てください。",
  state_stopped: "止めて います。",
  state_other: "ようすが おかしいです（{state}）",
  state_since: "{time}から",

  hours_1: "1時間",
  hours_24: "24時間",
  days_7: "7日",
  range: "グラフの 長さ",
  highest: "最高 {value}（{time}）",
  lowest: "最低 {value}（{time}）",
  higher_than_yesterday: "きのうの 今ごろより {value} 高いです。",
  lower_than_yesterday: "きのうの 今ごろより {value} 低いです。",
  same_as_yesterday: "きのうの 今ごろと 同じくらいです。",
  chart_short: "記録は {time}から です。",
  chart_empty: "この間の 記録は ありません。",
  chart_failed: "グラフを 読めませんでした。",
  chart_offline: "つながって いないので、グラフは 今 見られません。",
  chart_legend: "線は 平均、うすい 帯は 最低から 最高までです。",
  limit_above: "{value} より 上で 知らせます",
  limit_below: "{value} より 下で 知らせます",
  as_table: "表で 見る",
  col_time: "時",
  col_low: "最低",
  col_mean: "平均",
  col_high: "最高",

  settings: "設定",
  text_size: "文字の 大きさ",
  size_normal: "ふつう",
  size_large: "大きい",
  size_largest: "とても 大きい",
  vibrate: "「危険」の とき ふるえる",
  sign_out: "出る",
  sign_out_hint: "この 電話に しまった ようすも 消します。",
  signed_in_as: "{name}さん",
  demo: "ためす",
  demo_hint: "これは 練習の 牧場です。わざと こわして みる ことが できます。",
  demo_failed: "切りかえられませんでした。",
  fault_on: "こわれて います",
  fault_off: "ふつうです",
  install_hint: "ホーム画面に 追加すると、すぐ 開けます。",

  event_opened: "はじまり",
  event_worsened: "わるく なりました",
  event_eased: "少し よく なりました",
  event_acknowledged: "見ました",
  event_ended: "終わり",
  event_reopened: "また はじまりました",
  event_merged: "ほかの 知らせを まとめました",
  event_escalated: "次の 人に 伝えました",
  event_notified: "伝えました",
} as const;

export type Word = keyof typeof ja;

const en: Record<Word, string> = {
  app: "Makiba",
  app_sub: "watching over the farm",
  language: "Language",
  other_language: "日本語",
  loading: "Loading",
  retry: "Try again",
  back: "Back",
  skip: "To the content",

  login: "Login name",
  password: "Password",
  sign_in: "Sign in",
  signing_in: "Checking",
  show_password: "Show password",
  sign_in_wrong: "Login name or password is wrong. Please try again.",
  sign_in_unreachable: "Cannot reach the centre. Check your signal and press again.",
  sign_in_refused: "Signing in is not possible now. Wait a little and press again.",
  sign_in_help: "If you are unsure, ask your co-op.",
  join_used: "This link can no longer be used. Please ask for a new one.",
  signed_out: "Please sign in again.",

  nav: "Pages",
  nav_alerts: "Alerts",
  nav_places: "Places",
  nav_settings: "Settings",
  farm: "Farm",
  farm_open: "{name} (alerts: {n})",
  other_farms: "Alerts on other farms",

  live: "Connected",
  stale_long: "No new values reach the centre. You see the farm as of {age}.",
  connecting: "Reconnecting",
  connecting_long: "Reconnecting. You see the farm as of {age}.",
  offline_long: "Not connected. You see the farm as of {age}. Check your signal.",
  nothing_kept: "Not connected, and nothing has been kept to show.",

  critical: "Danger",
  warning: "Warning",
  advisory: "Notice",
  info: "Info",

  alerts: "Alerts",
  open_alerts: "Not seen yet",
  seen_alerts: "Seen",
  ended_alerts: "Ended",
  ended_none: "No alert has ended.",
  ended_more: "Show ended alerts ({n})",
  what_to_do: "What to do",
  since: "since {time}, {span}",
  ended_at: "ended {time} (lasted {span})",
  seen: "Seen",
  seen_hint: "Tells the others that you have seen it",
  seen_by: "Seen by {who} ({time})",
  seen_by_nobody: "Nobody has seen it yet",
  seen_offline: "Not connected, so it cannot be sent now.",
  seen_sending: "Sending",
  seen_failed: "It did not get through. Please press again.",
  children: "{n} devices in this alert",
  history: "History",
  new_alert: "New alert. {severity}. {title}",
  alert_over: "Ended. {title}",
  alert_gone: "This alert cannot be found.",

  calm: "Nothing is wrong now",
  calm_watching: "All {n} sensors are reporting.",
  calm_none: "There are no sensors yet.",
  calm_partly: "Of {n} sensors, {m} are not reporting.",
  calm_since: "Last value {time}",
  calm_unknown: "No trouble has been reported, but this is as of {age}.",
  no_guarantee: "Makiba helps you watch. Please look into the barn as well.",

  places: "Places",
  no_places: "There are no places yet.",
  no_values: "No values yet",
  no_value: "none yet",
  more_values: "More values ({n})",
  running: "running",
  stopped: "stopped",
  gateway_offline: "The gateway ({id}) is silent. Its power or its link is down.",
  gateway_stopped: "The gateway ({id}) has been stopped.",
  value_old: "old value",

  state_timeout: "The sensor does not answer. Check its power and cable.",
  state_crc: "Noise on the line. Check the cable's connections.",
  state_exception: "The sensor refused (code {n}). Check its settings.",
  state_sentinel: "The probe is disconnected. Check its plug.",
  "state_out-of-range": "This value cannot be true. Check the sensor.",
  "state_bus-down": "The line is cut. Check the cable at the gateway.",
  state_silent: "No sensor on this line answers. Check cable and power.",
  state_unreachable: "The sensor cannot be reached. Check cable and power.",
  state_invalid: "The sensor's answer makes no sense. Check model and settings.",
  state_down: "The line cannot be used. Check the cable at the gateway.",
  "state_no-data": "No values come. Check the sensor.",
  state_stuck: "The value does not move. Check the sensor.",
  state_offline: "Silent. Check power or link.",
  state_stopped: "Stopped.",
  state_other: "Something is wrong ({state})",
  state_since: "since {time}",

  hours_1: "1 hour",
  hours_24: "24 hours",
  days_7: "7 days",
  range: "Length of the chart",
  highest: "Highest {value} ({time})",
  lowest: "Lowest {value} ({time})",
  higher_than_yesterday: "{value} higher than at this time yesterday.",
  lower_than_yesterday: "{value} lower than at this time yesterday.",
  same_as_yesterday: "About the same as at this time yesterday.",
  chart_short: "Records begin {time}.",
  chart_empty: "No records in this time.",
  chart_failed: "The chart could not be read.",
  chart_offline: "Not connected, so the chart cannot be shown now.",
  chart_legend: "The line is the mean, the pale band goes from lowest to highest.",
  limit_above: "Alerts above {value}",
  limit_below: "Alerts below {value}",
  as_table: "Show as a table",
  col_time: "Time",
  col_low: "Lowest",
  col_mean: "Mean",
  col_high: "Highest",

  settings: "Settings",
  text_size: "Text size",
  size_normal: "Normal",
  size_large: "Large",
  size_largest: "Largest",
  vibrate: "Vibrate on danger",
  sign_out: "Sign out",
  sign_out_hint: "Also deletes what this phone has kept of the farm.",
  signed_in_as: "{name}",
  demo: "Try it",
  demo_hint: "This is a practice farm. You may break things on purpose.",
  demo_failed: "The switch did not work.",
  fault_on: "broken",
  fault_off: "normal",
  install_hint: "Add it to your home screen to open it quickly.",

  event_opened: "Began",
  event_worsened: "Got worse",
  event_eased: "Got better",
  event_acknowledged: "Seen",
  event_ended: "Ended",
  event_reopened: "Began again",
  event_merged: "Other alerts were merged in",
  event_escalated: "Passed to the next person",
  event_notified: "Sent",
};

export const WORDS: Readonly<Record<Language, Readonly<Record<Word, string>>>> = { ja, en };

export const isWord = (key: string): key is Word => Object.prototype.hasOwnProperty.call(ja, key);

export type Filling = Readonly<Record<string, string | number>>;

/** The words of `key` in `language`, with `{x}` filled from `filling`. */
export function say(language: Language, key: Word, filling: Filling = {}): string {
  return WORDS[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(filling[name] ?? whole));
}

/** A name of the farm's in the person's language, or in the other one where that is missing. */
export function nameOf(names: Names | string | null | undefined, language: Language): string {
  if (names == null) return "";
  if (typeof names === "string") return names;
  return names[language] || names.ja || names.en || "";
}

/** A sentence whose numbers stay on one line with their units. */
export function tidy(text: string): string {
  return text.replace(/(\d) (?=(?:℃|%|°|ppm|[hk]Pa|k?Wh?|[AVL]|m\/s|mm|m|kg|THI)(?![A-Za-z]))/g, "$1\u00a0");
}

/** The first sentence of a text in either language. */
export function firstSentence(text: string): string {
  return /^.*?(?:。|\.(?= |$))/.exec(text)?.[0] ?? text;
}

/** The words for a device's state, null when it is well. */
export function stateWords(language: Language, state: string | null): string | null {
  if (state === null || state === "ok" || state === "online") return null;
  const refused = /^exception-(\d+)$/.exec(state);
  if (refused) return say(language, "state_exception", { n: refused[1] ?? "" });
  const key = `state_${state}`;
  return isWord(key) ? say(language, key) : say(language, "state_other", { state });
}
