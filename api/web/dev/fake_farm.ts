/* A farm for working on the pages without Makiba: a Vite plugin that answers the API's contract from memory.
 *
 * Development only; nothing of it is built into the page. Logins: `farmer`/`farmer` (one farm), `coop`/`coop` (three),
 * code `welcome`. The demo's faults open and end alerts within seconds. For screenshots and tests of the page:
 * PUT /api/v1/dev/broker {"on": false}, PUT /api/v1/dev/silent {"on": true} (no answers at all).
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin, PreviewServer, ViteDevServer } from "vite";

import type { Alert, Fault, Names, Place, Places, Reading, Session, Site, Subject, Value, Windows } from "../src/lib/contract";
import { QUANTITIES, RULES, SITES, SUBJECTS, type FakeSubject } from "./fake_facts.ts";

const POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
const FAULTS: Fault[] = [
  { id: "fan-off", name: { ja: "第1牛舎の 送風機を 止める", en: "Stop the fan in barn 1" }, on: false },
  { id: "compressor-off", name: { ja: "バルクの 冷却機を 止める", en: "Stop the bulk tank's cooler" }, on: false },
  { id: "sensor-unplugged", name: { ja: "センサーの 線を 抜く", en: "Unplug a sensor" }, on: false },
  { id: "bus-cut", name: { ja: "RS-485の 線を 切る", en: "Cut the RS-485 line" }, on: false },
  { id: "gateway-power-cut", name: { ja: "中継機の 電源を 切る", en: "Cut the gateway's power" }, on: false },
];

class FakeFarm {
  readonly faults = FAULTS.map((fault) => ({ ...fault }));
  readonly since = new Map<string, number>();
  readonly alerts = new Map<string, Alert>();
  readonly streams = new Map<ServerResponse, Session>();
  readonly sessions = new Map<string, Session>();
  broker = true;
  brokerLostAt: number | null = null;
  silent = false;
  private eventId = 100;

  constructor() {
    this.alerts.set("past-1", this.alert("past-1", "air.nh3", "shikaoi-001", Date.now() - 27 * 3600e3, Date.now() - 25 * 3600e3));
    this.alerts.set("past-2", this.alert("past-2", "heat.prep", "shikaoi-001", Date.now() - 6 * 3600e3, Date.now() - 4.2 * 3600e3));
    this.alerts.set("other", this.alert("other", "tank.hold", "shikaoi-012", Date.now() - 41 * 60e3, null));
    setInterval(() => this.tick(), 1000);
    setInterval(() => this.tell("ping", { time_ms: Date.now() }, () => true), 10_000);
  }

  set(id: string, on: boolean): void {
    const fault = this.faults.find((f) => f.id === id);
    if (!fault || fault.on === on) return;
    fault.on = on;
    if (on) this.since.set(id, Date.now());
    else this.since.delete(id);
    const states = SUBJECTS.map((s): Reading => ({ site: "shikaoi-001", subject: s.subject, quantity: "state", time_ms: Date.now(), value: this.state(s) }));
    setTimeout(() => this.tell("readings", states, (session) => session.sites.some((s) => s.id === "shikaoi-001")), 800);
    for (const [rule, facts] of Object.entries(RULES)) {
      if (facts.fault !== id) continue;
      if (on) setTimeout(() => this.open(rule), facts.after_ms);
      else setTimeout(() => this.end(rule), 1500);
    }
  }

  private open(rule: string): void {
    const id = `${rule.replace(".", "-")}-${Date.now().toString(16)}`;
    const alert = this.alert(id, rule, "shikaoi-001", Date.now() - (RULES[rule]?.after_ms ?? 0), null);
    this.alerts.set(id, alert);
    this.tellAlert(alert);
  }

  private end(rule: string): void {
    for (const alert of this.alerts.values()) {
      if (alert.rule !== rule || alert.state === "ended" || alert.site !== "shikaoi-001") continue;
      alert.state = "ended";
      alert.ended_ms = Date.now();
      alert.events.push({ id: ++this.eventId, at_ms: Date.now(), kind: "ended", who: null, detail: null });
      this.tellAlert(alert);
    }
  }

  acknowledge(id: string, who: string): Alert | null {
    const alert = this.alerts.get(id);
    if (!alert) return null;
    if (alert.state === "open") {
      alert.state = "acknowledged";
      alert.acknowledged_ms = Date.now();
      alert.acknowledged_by = who;
      alert.events.push({ id: ++this.eventId, at_ms: Date.now(), kind: "acknowledged", who, detail: null });
      this.tellAlert(alert);
    }
    return alert;
  }

  private alert(id: string, rule: string, site: string, onset: number, ended: number | null): Alert {
    const facts = RULES[rule];
    const subject = SUBJECTS.find((s) => s.subject === facts?.subject);
    if (!facts || !subject) throw new Error(`no such rule: ${rule}`);
    const place = SITES[0]?.places.find((p) => p.id === subject.place);
    const events = [{ id: ++this.eventId, at_ms: onset + facts.after_ms, kind: "opened", who: null as string | null, detail: null }];
    if (ended) events.push({ id: ++this.eventId, at_ms: onset + 9 * 60e3, kind: "acknowledged", who: "佐藤 花子", detail: null });
    if (ended) events.push({ id: ++this.eventId, at_ms: ended, kind: "ended", who: null, detail: null });
    return {
      id, rule, site, severity: facts.severity, subject: subject.subject, subject_name: subject.name,
      state: ended ? "ended" : "open", place: place ? { id: place.id, name: place.name } : null,
      title: facts.title, message: facts.message, action: facts.action, note: facts.note ?? null,
      signals: facts.signals.map(([quantity, shown]) => ({ quantity, name: QUANTITIES[quantity]?.name ?? { ja: quantity, en: quantity }, shown })),
      onset_ms: onset, opened_ms: onset + facts.after_ms, ended_ms: ended,
      acknowledged_ms: ended ? onset + 9 * 60e3 : null, acknowledged_by: ended ? "佐藤 花子" : null,
      children: (facts.children ?? []).map((c) => ({ subject: c, name: SUBJECTS.find((s) => s.subject === c)?.name ?? { ja: c, en: c } })),
      events,
    };
  }

  private tellAlert(alert: Alert): void {
    this.tell("alert", alert, (session) => session.sites.some((s) => s.id === alert.site), alert.events[alert.events.length - 1]?.id);
  }

  private tick(): void {
    if (!this.broker || this.on("gateway-power-cut")) return;
    const now = Date.now();
    const readings: Reading[] = [];
    for (const subject of SUBJECTS) {
      if (this.state(subject) !== "ok" || Math.floor(now / 1000) % subject.every_s !== 0) continue;
      for (const quantity of subject.quantities)
        readings.push({ site: "shikaoi-001", subject: subject.subject, quantity, time_ms: now, value: this.value(subject, quantity, now) });
    }
    if (readings.length) this.tell("readings", readings, (session) => session.sites.some((s) => s.id === "shikaoi-001"));
  }

  private on = (id: string): boolean => this.since.has(id);

  state(subject: FakeSubject): string {
    if (this.on("bus-cut") && subject.bus === "barn") return "bus-down";
    if (this.on("sensor-unplugged") && subject.subject === "barn-2-climate") return "timeout";
    return "ok";
  }

  /** The value of a series at any time: a day's wave, a little noise, and what the faults do to it. */
  value(subject: FakeSubject, quantity: string, at: number): number {
    const facts = QUANTITIES[quantity];
    if (!facts) return 0;
    const hours = at / 3600e3 + 9;
    const wave = Math.sin(((hours - 9.5) / 24) * 2 * Math.PI);
    const noise = Math.sin(at / 61e3 + subject.subject.length * 7) * 0.6 + Math.sin(at / 7e3 + quantity.length) * 0.4;
    let value = facts.middle + facts.swing * wave + facts.noise * noise;
    const offFor = (id: string): number => (this.since.has(id) ? Math.max(0, (at - (this.since.get(id) ?? 0)) / 1000) : 0);
    if (quantity === "milk_temperature") {
      const milking = Math.max(0, 1 - Math.abs((hours % 12) - 7) / 1.2);
      value += milking * 4.6 + Math.min(9, offFor("compressor-off") * 0.12);
    }
    if (quantity === "switched_on") {
      value = 1;
      if (subject.subject === "fan-1" && offFor("fan-off") > 0) value = 0;
      if (subject.subject === "compressor-1" && offFor("compressor-off") > 0) value = 0;
    }
    if (quantity === "current" && ((subject.subject === "fan-1" && offFor("fan-off")) || (subject.subject === "compressor-1" && offFor("compressor-off")))) value = 0;
    if (facts.lowest !== undefined) value = Math.max(facts.lowest, value);
    return value;
  }

  places(site: string): Places {
    const now = this.brokerLostAt ?? Date.now();
    const gateway = site === "shikaoi-001" ? "gw-demo" : `gw-${site}`;
    const cut = this.since.get("gateway-power-cut");
    const places = (SITES.find((s) => s.id === site)?.places ?? []).map((p): Place => ({
      ...p,
      subjects: SUBJECTS.filter((s) => s.place === p.id).map((s): Subject => {
        const state = site === "shikaoi-001" ? this.state(s) : "ok";
        const stopped = state === "ok" ? (site === "shikaoi-001" ? cut : undefined) : this.since.get(state === "timeout" ? "sensor-unplugged" : "bus-cut");
        const last = Math.floor((stopped ?? now) / 1000 / s.every_s) * s.every_s * 1000;
        return {
          subject: s.subject, device: s.subject.split(".")[0] ?? s.subject, name: s.name, role: s.role ?? null, gateway, state, state_ms: stopped ?? now - 7200e3,
          values: s.quantities.map((q): Value => {
            const { name, unit, factor, decimals } = QUANTITIES[q] as NonNullable<(typeof QUANTITIES)[string]>;
            return { quantity: q, name, unit, factor, offset: 0, decimals, kind: "gauge", value: this.value(s, q, last), time_ms: last, every_s: s.every_s };
          }),
        };
      }),
    }));
    return { time_ms: Date.now(), places, gateways: [{ id: gateway, status: cut && site === "shikaoi-001" ? "offline" : "online", status_ms: cut ?? now - 9e6 }] };
  }

  windows(subjectName: string, quantity: string, start: number, end: number, points: number): Windows | null {
    const subject = SUBJECTS.find((s) => s.subject === subjectName);
    const facts = QUANTITIES[quantity];
    if (!subject || !facts) return null;
    const width = Math.max(10_000, Math.ceil((end - start) / points / 10_000) * 10_000);
    const windows: Windows["windows"] = [];
    for (let at = Math.floor(start / width) * width; at < end && at < Date.now(); at += width) {
      if (at > Date.now() - 9.5 * 3600e3 && at < Date.now() - 9 * 3600e3) continue; // a gap, as there are on farms
      const values = [0, 0.2, 0.4, 0.6, 0.8].map((share) => this.value(subject, quantity, Math.min(Date.now(), at + share * width)));
      const mean = values.reduce((a, b) => a + b, 0) / values.length;
      windows.push([at, values.length, Math.min(...values), mean, Math.max(...values), values[values.length - 1] ?? mean]);
    }
    const limits = quantity === "milk_temperature" ? [{ rule: "tank.hold", title: RULES["tank.hold"]?.title as Names, kind: "above" as const, value: 5 }] : [];
    const { name, unit, factor, decimals } = facts;
    return { subject: subjectName, quantity, name, unit, factor, offset: 0, decimals, width_ms: width, windows, limits };
  }

  tell(event: string, data: unknown, may: (session: Session) => boolean, id?: number | string): void {
    const text = `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const [stream, session] of this.streams) if (may(session)) stream.write(text);
  }
}

type Handler = (request: IncomingMessage, response: ServerResponse, next: () => void) => void;

function handler(farm: FakeFarm): Handler {
  return (request, response, next) => {
    const url = new URL(request.url ?? "/", "http://fake");
    if (!url.pathname.startsWith("/api/v1/")) return next();
    const path = url.pathname.slice("/api/v1".length).split("/").map(decodeURIComponent);
    if (farm.silent && path[1] !== "dev") return void request.socket.destroy();
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = chunks.length ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>) : {};
      answer(farm, request, response, url, path, body);
    });
  };
}

function answer(farm: FakeFarm, request: IncomingMessage, response: ServerResponse, url: URL, path: string[], body: Record<string, unknown>): void {
  const send = (status: number, data?: unknown): void => {
    response.statusCode = status;
    if (data === undefined) return void response.end();
    response.setHeader("Content-Type", status < 400 ? "application/json" : "application/problem+json");
    response.end(JSON.stringify(data));
  };
  const problem = (status: number, title: string): void => send(status, { type: "about:blank", title, status, detail: title });
  const verb = `${request.method} /${path[1] ?? ""}${path[2] === "join" || path[2] === "language" ? `/${path[2]}` : ""}`;
  const token = /makiba_session=(\w+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
  const session = farm.sessions.get(token);

  if (verb === "PUT /dev") {
    if (path[2] === "broker") farm.broker = body.on === true;
    if (path[2] === "broker") farm.brokerLostAt = farm.broker ? null : Date.now();
    if (path[2] === "silent") farm.silent = body.on === true;
    if (path[2] === "broker") farm.tell("centre", { broker: farm.broker }, () => true);
    if (farm.silent) for (const stream of farm.streams.keys()) stream.destroy();
    return send(204);
  }
  if (verb === "GET /health") return send(200, { ok: true, time_ms: Date.now() });
  if (request.method !== "GET" && request.headers["x-makiba"] !== "1") return problem(403, "the header X-Makiba is missing");
  if (verb === "POST /session" || verb === "POST /session/join") {
    const login = verb.endsWith("join") ? (body.code === "welcome" ? "farmer" : "") : body.login === body.password ? body.login : "";
    if (login !== "farmer" && login !== "coop") return problem(verb.endsWith("join") ? 404 : 401, "not known");
    const sites = SITES.filter((_, i) => login === "coop" || i === 0).map(({ id, name }): Site => ({ id, name, role: login, classes: ["alerts", "tank", "barn", "weather", "technical"] }));
    const fresh = `s${Math.random().toString(36).slice(2)}`;
    farm.sessions.set(fresh, { person: { id: login, name: login === "coop" ? "農協 太郎" : "佐藤 花子", language: "ja" }, sites, demo: true });
    response.setHeader("Set-Cookie", `makiba_session=${fresh}; HttpOnly; SameSite=Strict; Path=/`);
    return send(204);
  }
  if (!session) return problem(401, "sign in first");
  const sees = (site: string): boolean => session.sites.some((s) => s.id === site);
  if (verb === "GET /session") return send(200, session);
  if (verb === "DELETE /session") return void (farm.sessions.delete(token), send(204));
  if (verb === "PUT /session/language") return send(204);
  if (verb === "GET /sites" && !sees(path[2] ?? "")) return problem(404, "no such farm");
  if (verb === "GET /sites" && path[3] === "places") return send(200, farm.places(path[2] ?? ""));
  if (verb === "GET /sites" && path[3] === "series") {
    const q = url.searchParams;
    const windows = farm.windows(path[4] ?? "", path[5] ?? "", Number(q.get("start_ms")), Number(q.get("end_ms")), Number(q.get("points") ?? 300));
    return windows ? send(200, windows) : problem(404, "no such series");
  }
  if (verb === "GET /sites" && path[3] === "alerts") {
    const ended = url.searchParams.get("state") === "ended";
    return send(200, { rows: [...farm.alerts.values()].filter((a) => a.site === path[2] && (a.state === "ended") === ended), next: null });
  }
  const alert = farm.alerts.get(path[2] ?? "");
  if (verb === "GET /alerts") return alert && sees(alert.site) ? send(200, alert) : problem(404, "no such alert");
  if (verb === "POST /alerts" && alert && sees(alert.site)) return send(200, farm.acknowledge(alert.id, session.person.name));
  if (verb === "GET /demo") return send(200, farm.faults);
  if (verb === "PUT /demo") return void (farm.set(path[3] ?? "", body.on === true), send(204));
  if (verb === "GET /stream") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    response.write(`event: hello\ndata: ${JSON.stringify({ time_ms: Date.now() })}\n\n`);
    if (!farm.broker) response.write(`event: centre\ndata: {"broker": false}\n\n`);
    farm.streams.set(response, session);
    response.on("close", () => farm.streams.delete(response));
    return;
  }
  problem(404, "nothing here");
}

export function fakeFarm(): Plugin {
  const install = (server: ViteDevServer | PreviewServer, policy: boolean): void => {
    const farm = new FakeFarm();
    const answerApi = handler(farm);
    server.middlewares.use((request, response, next) => {
      if (policy) response.setHeader("Content-Security-Policy", POLICY);
      answerApi(request, response, next);
    });
  };
  return {
    name: "makiba-fake-farm",
    configureServer: (server) => install(server, false),
    configurePreviewServer: (server) => install(server, true),
  };
}
