import { describe, expect, test } from "vitest";

import { bytesOf, textOf } from "./passkey";

describe("passkeys", () => {
  test("any bytes become base64url without padding, and the same bytes again", () => {
    for (const bytes of [[], [0], [255, 254], [251, 255, 191, 62, 63], [...Array(256).keys()]]) {
      const text = textOf(new Uint8Array(bytes).buffer);
      expect(text).toMatch(/^[A-Za-z0-9_-]*$/);
      expect([...new Uint8Array(bytesOf(text))]).toEqual(bytes);
    }
  });

  test("it is what the standard writes", () => {
    expect(textOf(new Uint8Array([251, 239, 255]).buffer)).toBe("--__");
  });
});
