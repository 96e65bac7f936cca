/* Holds the built page to its promises: small, readable by old phones, allowed by a strict content security policy. */
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const JS_BUDGET = 120_000; // bytes, gzipped, everything together
const dist = new URL("../dist/", import.meta.url);
const read = (name) => readFileSync(new URL(name, dist), "utf8");
const assets = readdirSync(new URL("assets/", dist)).map((name) => `assets/${name}`);
const scripts = [...assets.filter((name) => name.endsWith(".js")), "sw.js"];
const styles = assets.filter((name) => name.endsWith(".css"));
const problems = [];

const size = scripts.reduce((sum, name) => sum + gzipSync(read(name)).length, 0);
if (size > JS_BUDGET) problems.push(`scripts: ${size} bytes gzipped, more than ${JS_BUDGET}`);

/* Not in Chrome 80 or Safari 14, and not lowered by the build because they are calls and selectors, not syntax.
 * String.replaceAll is brought by src/old_phones.ts; structuredClone stands in Svelte's snapshot of a Date, which we
 * never take. */
const TOO_NEW = [/\bObject\.hasOwn\(/, /\.at\(/, /\bnew WeakRef\(/, /\.findLast\(/, /\.toSorted\(/, /\.replaceChildren\(/];
const FORBIDDEN = [/\beval\(/, /\bnew Function\(/];
for (const name of scripts)
  for (const pattern of [...TOO_NEW, ...FORBIDDEN]) if (pattern.test(read(name))) problems.push(`${name}: ${pattern}`);
for (const name of styles)
  for (const pattern of [/:where\(/, /:is\(/, /:has\(/, /@layer/, /color-mix\(/, /\binset:/, /url\(["']?(data:|https?:)/])
    if (pattern.test(read(name))) problems.push(`${name}: ${pattern}`);

const html = read("index.html");
if (/<script(?![^>]*\bsrc=)|<style|\son\w+=|\bstyle=/.test(html)) problems.push("index.html: something inline");
if (/(src|href)="(https?:)?\/\//.test(html)) problems.push("index.html: a foreign host");
for (const name of ["manifest.webmanifest", "icon.svg", "icon-192.png", "icon-512.png"]) readFileSync(new URL(name, dist));

console.log(`scripts ${(size / 1000).toFixed(1)} kB gzipped, styles ${(styles.reduce((s, n) => s + gzipSync(read(n)).length, 0) / 1000).toFixed(1)} kB`);
for (const problem of problems) console.error(problem);
process.exit(problems.length ? 1 : 0);
