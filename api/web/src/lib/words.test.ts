import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

import { firstSentence, nameOf, say, stateWords, tidy, WORDS } from "./words";

const holes = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((m) => m[1] ?? "").sort();

describe("words", () => {
  test("every key is there in both languages, and none is empty", () => {
    expect(Object.keys(WORDS.en).sort()).toEqual(Object.keys(WORDS.ja).sort());
    for (const language of ["ja", "en"] as const) for (const [key, text] of Object.entries(WORDS[language])) expect(text, `${language} ${key}`).not.toBe("");
  });

  test("both languages leave the same places to fill", () => {
    for (const key of Object.keys(WORDS.ja) as (keyof typeof WORDS.ja)[]) expect(holes(WORDS.en[key]), key).toEqual(holes(WORDS.ja[key]));
  });

  test("Japanese sentences are short", () => {
    for (const [key, text] of Object.entries(WORDS.ja))
      for (const sentence of text.split("。")) expect(sentence.replace(/\{\w+\}| /g, "").length, `${key}: ${sentence}`).toBeLessThanOrEqual(30);
  });

  test("no word is kept that no page says", () => {
    const folders = ["src", "src/lib", "src/parts", "src/views"];
    const files = folders.flatMap((folder) => readdirSync(folder).filter((f) => /\.(svelte|ts)$/.test(f) && !/words|test/.test(f)).map((f) => `${folder}/${f}`));
    const source = files.map((file) => readFileSync(file, "utf8")).join("\n");
    const composed = /^(state_|event_|role_|class_|channel_|kind_|wish_|critical|warning|advisory|info)/;
    const unsaid = Object.keys(WORDS.ja).filter((key) => !composed.test(key) && !source.includes(`"${key}"`));
    expect(unsaid).toEqual([]);
  });

  test("what is missing for filling stays visible", () => {
    expect(say("ja", "seen_by", { who: "佐藤" })).toBe("佐藤さんが 見ました（{time}）");
  });

  test("a name missing in one language is taken from the other", () => {
    expect(nameOf({ ja: "バルク", en: "" }, "en")).toBe("バルク");
    expect(nameOf(null, "en")).toBe("");
  });

  test("states are told in words; being well needs none; an unknown one is quoted", () => {
    expect(stateWords("ja", "ok")).toBeNull();
    expect(stateWords("ja", null)).toBeNull();
    expect(stateWords("ja", "timeout")).toContain("答えません");
    expect(stateWords("en", "exception-2")).toContain("code 2");
    expect(stateWords("en", "out-of-range")).toContain("cannot be true");
    expect(stateWords("en", "wobbly")).toContain("wobbly");
  });

  test("of a text the first sentence is found in both languages", () => {
    expect(firstSentence("センサーが 答えません。電源と 線を 見てください。")).toBe("センサーが 答えません。");
    expect(firstSentence("It reads 1.5 too low. Check.")).toBe("It reads 1.5 too low.");
    expect(firstSentence("no end")).toBe("no end");
  });

  test("a number stays on one line with its unit, and only with a unit", () => {
    expect(tidy("乳温が 6.2 ℃です")).toBe("乳温が 6.2\u00a0℃です");
    expect(tidy("送風機 1 が")).toBe("送風機 1 が");
    expect(tidy("12 minutes")).toBe("12 minutes");
  });
});
