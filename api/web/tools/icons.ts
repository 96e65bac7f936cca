/* The application's icon, drawn once as shapes and written both as SVG and as PNG, so that no picture is kept in the
 * repository. Two hills under a pale sun; only circles, so that the same list serves both formats.
 *
 * PNG: ISO/IEC 15948, colour type 2 (RGB, 8 bit), one IDAT chunk, filter 0 on each line.
 */
import { crc32, deflateSync } from "node:zlib";

type Rgb = readonly [number, number, number];
interface Circle {
  readonly x: number;
  readonly y: number;
  readonly r: number;
  readonly fill: Rgb;
}

const NIGHT_GREEN: Rgb = [0x1f, 0x4a, 0x34];
/* In units of the icon's side; later ones lie on top. */
const SHAPES: readonly Circle[] = [
  { x: 0.64, y: 0.36, r: 0.13, fill: [0xf7, 0xe3, 0xa8] },
  { x: 0.22, y: 1.12, r: 0.62, fill: [0x6f, 0xa0, 0x63] },
  { x: 0.86, y: 1.3, r: 0.72, fill: [0xf6, 0xf0, 0xdf] },
];
const SAMPLES = 4; // per pixel and axis: smooth edges

const hex = (colour: Rgb): string => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;

export function iconSvg(): string {
  const circles = SHAPES.map((s) => `<circle cx="${s.x * 100}" cy="${s.y * 100}" r="${s.r * 100}" fill="${hex(s.fill)}"/>`);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><clipPath id="c"><rect width="100" height="100" rx="22"/>` +
    `</clipPath><g clip-path="url(#c)"><rect width="100" height="100" fill="${hex(NIGHT_GREEN)}"/>${circles.join("")}</g></svg>\n`
  );
}

/** The icon as a square PNG of `side` pixels, full-bleed: the phone cuts the corners. */
export function iconPng(side: number): Buffer {
  const line = 1 + side * 3;
  const raw = Buffer.alloc(line * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) raw.set(pixel(x, y, side), y * line + 1 + x * 3);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(raw, { level: 9 })), chunk("IEND")]);
}

function pixel(x: number, y: number, side: number): number[] {
  const sum = [0, 0, 0];
  for (let i = 0; i < SAMPLES * SAMPLES; i++) {
    const u = (x + ((i % SAMPLES) + 0.5) / SAMPLES) / side;
    const v = (y + (Math.floor(i / SAMPLES) + 0.5) / SAMPLES) / side;
    let fill = NIGHT_GREEN;
    for (const shape of SHAPES) if ((u - shape.x) ** 2 + (v - shape.y) ** 2 <= shape.r ** 2) fill = shape.fill;
    fill.forEach((part, channel) => (sum[channel] = (sum[channel] ?? 0) + part));
  }
  return sum.map((part) => Math.round(part / (SAMPLES * SAMPLES)));
}

function chunk(type: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, "ascii"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}
