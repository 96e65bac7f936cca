/* Draws one series with uPlot: band from lowest to highest, line of means, lines where a rule alerts.
 *
 * Colours come from the style sheet's variables at each drawing, so that the dark theme needs no second chart.
 */
import uPlot from "uplot";

import type { Language } from "./contract";
import { farmClock, FARM_ZONE } from "./show";
import type { Columns } from "./summary";

export interface Plot {
  set(columns: Columns, fromS: number, toS: number): void;
  destroy(): void;
}

export interface PlotOptions {
  language: Language;
  decimals: number;
  limits: readonly number[];
  /** Called with the index under the finger, null when there is none. */
  onPoint(index: number | null): void;
}

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function draw(host: HTMLElement, options: PlotOptions): Plot {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const font = `${Math.round(rem * 0.8)}px system-ui, sans-serif`;
  const height = (): number => Math.round(Math.max(190, Math.min(320, host.clientWidth * 0.62)));
  const axis = { stroke: () => colour("--muted"), font, grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
  const plot = new uPlot(
    {
      width: host.clientWidth,
      height: height(),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), FARM_ZONE),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 9 } },
      scales: { y: { range: (_u, low, high) => yRange(low, high, options) } },
      axes: [
        { ...axis, space: rem * 4, size: rem * 1.9, gap: 6, values: (_u, splits) => splits.map((s) => tick(s, splits, options.language)) },
        { ...axis, size: rem * 2.6, gap: 6, values: (_u, splits) => splits.map((v) => plainNumber(v, splits)) },
      ],
      series: [
        {},
        { stroke: "transparent", points: { show: false } },
        { stroke: "transparent", points: { show: false } },
        { stroke: () => colour("--green"), width: 2.25, points: { show: (_u, _i, from, to) => to - from < 2, size: 7, fill: () => colour("--green") } },
      ],
      bands: [{ series: [2, 1], fill: () => colour("--band") }],
      hooks: {
        drawSeries: [(u, index) => (index === 3 ? drawLimits(u, options.limits, rem) : undefined)],
        setCursor: [(u) => options.onPoint(u.cursor.idx ?? null)],
      },
    },
    [[], [], [], []],
    host,
  );
  const fit = (): void => plot.setSize({ width: host.clientWidth, height: height() });
  const resized = new ResizeObserver(fit);
  resized.observe(host);
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const redraw = (): void => plot.redraw(false);
  scheme.addEventListener?.("change", redraw);
  return {
    set({ x, min, mean, max }, fromS, toS) {
      plot.batch(() => {
        plot.setData([x, min, max, mean] as uPlot.AlignedData, false);
        plot.setScale("x", { min: fromS, max: toS });
      });
    },
    destroy() {
      resized.disconnect();
      scheme.removeEventListener?.("change", redraw);
      plot.destroy();
    },
  };
}

/* Limits are always in the picture, and a quiet series is not blown up to noise: at least ten steps of its last decimal. */
function yRange(low: number | null, high: number | null, { limits, decimals }: PlotOptions): [number, number] {
  const all = [...limits, ...(low === null || high === null ? [] : [low, high])];
  if (!all.length) return [0, 1];
  let [min, max] = [Math.min(...all), Math.max(...all)];
  const least = 10 * 10 ** -decimals;
  if (max - min < least) [min, max] = [(min + max - least) / 2, (min + max + least) / 2];
  const air = (max - min) * 0.08;
  return [min >= 0 && min - air < 0 ? 0 : min - air, max + air];
}

function drawLimits(u: uPlot, limits: readonly number[], rem: number): void {
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = colour("--limit");
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.setLineDash([rem * 0.4 * devicePixelRatio, rem * 0.3 * devicePixelRatio]);
  for (const limit of limits) {
    const y = Math.round(u.valToPos(limit, "y", true));
    ctx.beginPath();
    ctx.moveTo(u.bbox.left, y);
    ctx.lineTo(u.bbox.left + u.bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

function tick(seconds: number, splits: readonly number[], language: Language): string {
  const { month, day, hour, minute } = farmClock(seconds * 1000);
  const step = (splits[1] ?? 0) - (splits[0] ?? 0);
  if (step >= 86400 || (step >= 6 * 3600 && hour === 0 && splits.length > 6)) return `${month}/${day}`;
  if (step >= 3600 && minute === 0) return language === "ja" ? `${hour}時` : `${String(hour).padStart(2, "0")}:00`;
  return `${hour}:${String(minute).padStart(2, "0")}`;
}

function plainNumber(value: number, splits: readonly number[]): string {
  const step = Math.abs((splits[1] ?? 0) - (splits[0] ?? 0)) || 1;
  let decimals = 0;
  while (decimals < 4 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6) decimals += 1;
  return value.toFixed(decimals).replace("-", "\u2212");
}
