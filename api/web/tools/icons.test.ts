import { inflateSync } from "node:zlib";
import { expect, test } from "vitest";

import { iconPng, iconSvg } from "./icons.ts";

test("the PNG has the size it says and a full picture", () => {
  const png = iconPng(48);
  expect(png.subarray(1, 4).toString()).toBe("PNG");
  expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([48, 48]);
  const length = png.readUInt32BE(33);
  expect(png.subarray(37, 41).toString()).toBe("IDAT");
  expect(inflateSync(png.subarray(41, 41 + length))).toHaveLength(48 * (1 + 48 * 3));
});

test("the SVG asks nothing of anybody", () => {
  expect(iconSvg().replace("http://www.w3.org/2000/svg", "")).not.toMatch(/http|href|style=/);
});
