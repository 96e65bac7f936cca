/* What stands on the farm of `fake_farm.ts`: places, sensors, their usual values, and the alerts its faults cause. */
import type { Names, Severity } from "../src/lib/contract";

const n = (ja: string, en: string): Names => ({ ja, en });

export interface FakeSubject {
  subject: string;
  place: string;
  name: Names;
  role?: string;
  bus: "barn" | "tank" | "field";
  every_s: number;
  quantities: string[];
}

interface FakeQuantity {
  name: Names;
  unit: string;
  factor: number;
  decimals: number;
  middle: number;
  swing: number;
  noise: number;
  lowest?: number;
}

const q = (ja: string, en: string, unit: string, decimals: number, middle: number, swing: number, noise: number, factor = 1, lowest?: number): FakeQuantity => ({
  name: n(ja, en), unit, factor, decimals, middle, swing, noise, lowest,
});

export const QUANTITIES: Readonly<Record<string, FakeQuantity>> = {
  air_temperature: q("気温", "air temperature", "℃", 1, 7.4, 3.2, 0.3),
  relative_humidity: q("湿度", "humidity", "%", 0, 76, -9, 1.2),
  thi: q("暑さ指数", "heat index (THI)", "THI", 0, 52, 5, 0.3),
  ammonia: q("アンモニア", "ammonia", "ppm", 1, 6.1e-6, -1.6e-6, 4e-7, 1e6, 0),
  carbon_dioxide: q("二酸化炭素", "carbon dioxide", "ppm", 0, 7.8e-4, -1.1e-4, 1.5e-5, 1e6),
  switched_on: q("運転", "running", "", 0, 1, 0, 0),
  current: q("電流", "current", "A", 2, 3.42, 0.05, 0.04),
  milk_temperature: q("乳温", "milk temperature", "℃", 1, 3.9, 0.1, 0.12),
  milk_volume: q("乳量", "milk volume", "L", 0, 2.4, 0.6, 0.004, 1000, 0),
  water_flow: q("水の流れ", "water flow", "L/min", 1, 2.1e-4, 1.2e-4, 3e-5, 60000, 0),
  water_temperature: q("水温", "water temperature", "℃", 1, 5.2, 1.1, 0.2),
  soil_temperature: q("地温", "soil temperature", "℃", 1, 4.6, 1.4, 0.05),
  soil_moisture: q("土壌水分", "soil moisture", "%", 1, 0.314, -0.006, 0.001, 100),
  wind_speed: q("風速", "wind speed", "m/s", 1, 3.1, 1.8, 0.9, 1, 0),
  wind_gust: q("最大風速", "gust", "m/s", 1, 6.4, 2.5, 1.4, 1, 0),
  global_radiation: q("日射", "solar radiation", "W/m²", 0, 120, 260, 8, 1, 0),
  fill: q("残量", "fill level", "%", 0, 0.62, -0.03, 0.001, 100),
};

const barn = (id: string, ja: string, en: string, kind: string): { id: string; kind: string; name: Names } => ({ id, kind, name: n(ja, en) });

const HOME = [
  barn("barn-1", "第1牛舎", "Barn 1", "barn"),
  barn("tank-room", "処理室", "Tank room", "tank-room"),
  barn("barn-2", "育成牛舎", "Young stock barn", "barn"),
  barn("field-3", "3号畑", "Field 3", "field"),
  barn("station", "気象", "Weather mast", "station"),
];

export const SITES = [
  { id: "shikaoi-001", name: n("さとう牧場", "Sato Farm"), places: HOME },
  { id: "shikaoi-012", name: n("北川牧場", "Kitagawa Farm"), places: HOME.slice(0, 2) },
  { id: "shikaoi-020", name: n("うりまく共同牧場", "Urimaku Common Pasture"), places: HOME.slice(2) },
];

export const SUBJECTS: readonly FakeSubject[] = [
  { subject: "barn-1-climate", place: "barn-1", name: n("牛舎の 空気", "Barn air"), bus: "barn", every_s: 2, quantities: ["air_temperature", "relative_humidity", "thi"] },
  { subject: "barn-1-gas", place: "barn-1", name: n("ガス", "Gas"), bus: "barn", every_s: 5, quantities: ["ammonia", "carbon_dioxide"] },
  { subject: "fan-1", place: "barn-1", name: n("送風機 1", "Fan 1"), role: "fan", bus: "barn", every_s: 1, quantities: ["switched_on", "current"] },
  { subject: "tank-1", place: "tank-room", name: n("バルク", "Bulk tank"), bus: "tank", every_s: 1, quantities: ["milk_temperature", "milk_volume"] },
  { subject: "compressor-1", place: "tank-room", name: n("冷却機", "Cooler"), role: "compressor", bus: "tank", every_s: 1, quantities: ["switched_on", "current"] },
  { subject: "water-1", place: "tank-room", name: n("水道", "Water line"), bus: "tank", every_s: 10, quantities: ["water_flow", "water_temperature"] },
  { subject: "barn-2-climate", place: "barn-2", name: n("牛舎の 空気", "Barn air"), bus: "barn", every_s: 5, quantities: ["air_temperature", "relative_humidity"] },
  { subject: "silo-1", place: "barn-2", name: n("飼料タンク", "Feed silo"), bus: "barn", every_s: 30, quantities: ["fill"] },
  { subject: "soil-3.ch1", place: "field-3", name: n("土 10cm", "Soil 10 cm"), bus: "field", every_s: 30, quantities: ["soil_temperature", "soil_moisture"] },
  { subject: "soil-3.ch2", place: "field-3", name: n("土 30cm", "Soil 30 cm"), bus: "field", every_s: 30, quantities: ["soil_temperature", "soil_moisture"] },
  { subject: "mast", place: "station", name: n("気象の 柱", "Mast"), bus: "field", every_s: 2, quantities: ["air_temperature", "wind_speed", "wind_gust", "global_radiation"] },
];

export interface FakeRule {
  fault?: string;
  after_ms: number;
  severity: Severity;
  subject: string;
  title: Names;
  message: Names;
  action: Names;
  note?: Names;
  signals: [string, string][];
  children?: string[];
}

export const RULES: Readonly<Record<string, FakeRule>> = {
  "tank.hold": {
    fault: "compressor-off", after_ms: 4000, severity: "critical", subject: "tank-1",
    title: n("乳温が 高いです", "Milk is too warm"),
    message: n("処理室の バルクの 乳温が 6.2 ℃です。5.0 ℃を こえて います。", "The milk in the tank room's bulk tank is at 6.2 ℃, above 5.0 ℃."),
    action: n("すぐ 冷却機の 電源を 見てください。", "Check the cooler's power now."),
    note: n("冷却機が 止まって います。", "The cooler is not running."),
    signals: [["milk_temperature", "6.2 ℃"], ["current", "0.00 A"]],
  },
  "fan.off": {
    fault: "fan-off", after_ms: 1200, severity: "warning", subject: "fan-1",
    title: n("送風機が 止まって います", "The fan has stopped"),
    message: n("第1牛舎の 送風機 1の 電流が 0 Aです。", "Fan 1 in barn 1 draws no current."),
    action: n("ブレーカーを 見てください。動かない ときは 窓を 開けてください。", "Check the breaker. If it stays off, open the windows."),
    signals: [["current", "0.00 A"]],
  },
  "dev.silent": {
    fault: "sensor-unplugged", after_ms: 1500, severity: "advisory", subject: "barn-2-climate",
    title: n("センサーが 答えません", "A sensor does not answer"),
    message: n("育成牛舎の 空気の センサーから 値が 来て いません。", "The air sensor in the young stock barn sends no values."),
    action: n("センサーの 線と 電源を 見てください。", "Check the sensor's cable and power."),
    signals: [],
  },
  "bus.down": {
    fault: "bus-cut", after_ms: 1800, severity: "warning", subject: "barn-1-climate",
    title: n("センサーの 線が 切れて います", "A sensor line is cut"),
    message: n("牛舎の 線の センサーが 全部 答えません。", "No sensor on the barn line answers."),
    action: n("中継機から 牛舎への 線を 見てください。", "Check the cable from the gateway to the barn."),
    signals: [], children: ["barn-1-climate", "barn-1-gas", "fan-1", "barn-2-climate", "silo-1"],
  },
  "gw.off": {
    fault: "gateway-power-cut", after_ms: 2000, severity: "warning", subject: "barn-1-climate",
    title: n("中継機から 連絡が ありません", "The gateway is silent"),
    message: n("中継機の 電源か 回線が 止まって います。", "The gateway's power or its link is down."),
    action: n("中継機の ランプを 見てください。", "Look at the gateway's lamps."),
    signals: [], children: ["barn-1-climate", "tank-1", "mast"],
  },
  "air.nh3": {
    after_ms: 0, severity: "advisory", subject: "barn-1-gas",
    title: n("アンモニアが 多いです", "Ammonia is high"),
    message: n("第1牛舎の アンモニアが 22 ppmです。", "Ammonia in barn 1 is at 22 ppm."),
    action: n("換気と 除ふんを してください。", "Ventilate and remove manure."),
    signals: [["ammonia", "22.0 ppm"]],
  },
  "heat.prep": {
    after_ms: 0, severity: "advisory", subject: "barn-1-climate",
    title: n("暑く なって います", "It is getting hot"),
    message: n("第1牛舎の 暑さ指数が 69です。", "The heat index in barn 1 is 69."),
    action: n("送風機を 回してください。水を 見てください。", "Run the fans. Check the water."),
    signals: [["thi", "69 THI"]],
  },
};
