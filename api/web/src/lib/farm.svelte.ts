/* The page's state: who is signed in, which farm is shown, what is known of it and how fresh that is.
 *
 * Events come from the stream, answers from the API; what follows from them is decided by the pure functions of
 * `merge.ts` and `connection.ts`. After each reconnection everything is asked again: the stream is a hint, the server
 * the truth. What is known is kept on the device and shown, with its age, when there is no network.
 */
import { Account, TurnedAway } from "./account.svelte";
import { api, ApiError } from "./api";
import { judgeConnection, type Connection, type Signs } from "./connection";
import type { Alert, Fault, Language, Names, Place, Places, Reading, Session, Site, Subject } from "./contract";
import { Incidents } from "./incidents.svelte";
import { browserShelf, type Choices, type Keep, type TextSize } from "./keep";
import { type Alerts, alertVersion, mergePlaces, mergeReadings, newestEvent, newestValue, putActive, putAlert, sortAlerts, subjectsOf } from "./merge";
import { closeNotifications, Push } from "./push";
import { broughtBy, readRoute, type Brought, type Route } from "./route";
import { isLate } from "./show";
import { Stream } from "./stream";
import { type Filling, nameOf, say, stateWords, type Word } from "./words";

const KEEP_EVERY_MS = 10_000;
const REFRESH_EVERY_MS = 60_000; // the truth again, even while the stream is well
const SILENT_LONG_MS = 180_000;
const ASK_AGAIN_MS = 2_000; // at most one question per this time when the stream brings something unexplained

const tellsAlerts = (site: Site): boolean => site.classes.includes("alerts");

export class Farm {
  /** starting: not known yet whether somebody is signed in. */
  phase = $state<"starting" | "signed-out" | "signed-in" | "nothing">("starting");
  session = $state.raw<Session | null>(null);
  site = $state<string | null>(null);
  places = $state<Places | null>(null);
  alerts = $state.raw<Alerts>({});
  endedKnown = $state(false);
  faults = $state<Fault[]>([]);
  language = $state<Language>("ja");
  textSize = $state<TextSize>("normal");
  vibrate = $state(true);
  route = $state.raw<Route>({ page: "alerts" });
  signInProblem = $state<Word | null>(null);
  /** Login and password were right; the code of the app is still to come. */
  codeWanted = $state(false);
  /** An invitation that waits for an answer. */
  invited = $state.raw<Brought | null>(null);
  readonly account = new Account();
  readonly push = new Push(browserShelf());
  readonly incidents = new Incidents();
  /** For screen readers: the last thing worth interrupting for. */
  spoken = $state("");
  sending = $state<string | null>(null);
  sendFailed = $state<string | null>(null);
  now = $state(Date.now());
  #signs = $state<Signs>({ heardAt: null, open: false, unreachable: false, broker: true });
  #asOf = $state<number | null>(null);
  #quietSince = $state<number | null>(null);
  #clockAhead = 0; // server's clock minus the phone's
  #stream: Stream;
  #asking = false;
  #askAgain: number | undefined;
  #toKeep: number | undefined;

  constructor(private readonly keep: Keep) {
    const choices = keep.choices();
    this.language = choices.language ?? "ja";
    this.textSize = choices.textSize;
    this.vibrate = choices.vibrate;
    this.#stream = new Stream("/api/v1/stream", {
      onOpen: () => this.#opened(),
      onLost: () => void this.#lost(),
      onTime: (timeMs) => this.#heard(timeMs),
      onReadings: (readings) => this.#readings(readings),
      onAlert: (alert) => this.#alert(alert),
      onBroker: (up) => this.#broker(up),
    });
  }

  // ---- what pages read

  connection: Connection = $derived(judgeConnection(this.#signs, this.now - this.#clockAhead));
  live = $derived(this.connection === "live");
  /** The server's time to which what is shown is true: now while live. */
  asOf = $derived(this.live ? this.now : (this.#asOf ?? newestValue(this.places?.places ?? []) ?? this.now));
  /** For minutes nothing has come from the centre, or to it: an alert would not come either. */
  silentLong = $derived(!this.live && this.now - Math.min(this.asOf, this.#quietSince ?? this.now) > SILENT_LONG_MS);
  sorted = $derived(sortAlerts(this.alerts, this.site ?? ""));
  currentSite = $derived(this.session?.sites.find((site) => site.id === this.site) ?? null);
  canSend = $derived(this.connection === "live" || this.connection === "stale");

  /** How many sensors are watched and how many of them are not reporting as of what is shown. */
  watch = $derived.by(() => {
    const sensors = subjectsOf(this.places?.places ?? []);
    const coarse = this.asOf - (this.asOf % 5000);
    const silent = sensors.filter((s) => this.isCutOff(s) || s.values.some((v) => isLate(v, coarse)));
    return { sensors: sensors.length, silent: silent.length };
  });

  say = (word: Word, filling?: Filling): string => say(this.language, word, filling);
  name = (names: Names | string | null | undefined): string => nameOf(names, this.language);
  activeOn(site: string): number {
    return Object.values(this.alerts).filter((alert) => alert.site === site && alert.state !== "ended").length;
  }
  /** Active alerts about a subject, also those of which it is only a part. */
  alertsAt(subject: string): Alert[] {
    const active = [...this.sorted.open, ...this.sorted.acknowledged];
    return active.filter((a) => a.subject === subject || a.children.some((child) => child.subject === subject));
  }
  /** Nothing new comes from this subject now: it is not well, or its gateway does not speak. */
  isCutOff(subject: Subject): boolean {
    const gateway = this.places?.gateways.find((g) => g.id === subject.gateway);
    return stateWords("ja", subject.state) !== null || gateway?.status === "offline" || gateway?.status === "stopped";
  }
  placeOf(subject: string): Place | null {
    return this.places?.places.find((place) => place.subjects.some((s) => s.subject === subject)) ?? null;
  }

  // ---- life

  async start(): Promise<void> {
    window.setInterval(() => this.#tick(), 1000);
    window.setInterval(() => document.hidden || void this.refresh(), REFRESH_EVERY_MS);
    window.addEventListener("hashchange", () => this.#followAddress());
    window.addEventListener("pagehide", () => this.#keepNow());
    navigator.serviceWorker?.addEventListener("message", (event: MessageEvent<{ go?: unknown }>) => {
      if (typeof event.data?.go === "string" && event.data.go.startsWith("#/")) location.hash = event.data.go;
    });
    await this.#followAddress();
    if (this.phase === "starting") await this.#resume();
  }

  #tick(): void {
    this.now = Date.now() + this.#clockAhead;
    this.#quietSince = this.live ? null : (this.#quietSince ?? this.now);
  }

  async #followAddress(): Promise<void> {
    const brought = broughtBy(location.hash);
    if (brought !== null) {
      history.replaceState(null, "", `${location.pathname}${location.search}#/alerts`);
      if (brought.kind === "join") await this.#join(brought.code);
      else this.invited = brought;
    }
    this.route = readRoute(location.hash);
    window.scrollTo(0, 0);
  }

  async #resume(): Promise<void> {
    try {
      await this.#signedIn(await api.session());
    } catch (error) {
      if (error instanceof ApiError && error.failure === "unreachable") this.#fromKept();
      else this.phase = "signed-out";
    }
  }

  #fromKept(): void {
    const kept = this.keep.state();
    this.#signs.unreachable = true;
    if (!kept) {
      this.phase = "nothing";
      window.setTimeout(() => void this.#resume(), 3000);
      return;
    }
    this.session = kept.session;
    this.site = kept.site;
    this.places = kept.places;
    this.alerts = Object.fromEntries(kept.alerts.map((alert) => [alert.id, alert]));
    this.#asOf = kept.time_ms;
    this.phase = "signed-in";
    this.#stream.start();
  }

  async #signedIn(session: Session): Promise<void> {
    const choices = this.keep.choices();
    this.session = session;
    this.language = choices.language ?? session.person.language;
    this.site = session.sites.find((site) => site.id === choices.site)?.id ?? session.sites[0]?.id ?? null;
    const kept = this.keep.state();
    if (kept && kept.session.person.id !== session.person.id) this.keep.forget();
    this.phase = "signed-in";
    this.signInProblem = null;
    this.codeWanted = false;
    this.#stream.start();
    void this.push.follow(session.person.id).catch(() => undefined); // again when the page is opened next
    await this.refresh();
  }

  // ---- signing in and out

  signIn(login: string, password: string): Promise<void> {
    return this.#enter(() => api.signIn(login, password), "sign_in_wrong");
  }
  signInWithCode(code: string): Promise<void> {
    return this.#enter(() => this.account.signInWithCode(code), "code_wrong");
  }
  signInWithPasskey(): Promise<void> {
    return this.#enter(() => this.account.signInWithPasskey(), "passkey_wrong");
  }

  /** After an invitation was answered: whoever is signed in now. */
  async enterInvited(): Promise<void> {
    this.invited = null;
    await this.#signedIn(await api.session());
  }
  turnInvitationDown(): void {
    this.invited = null;
  }

  /* A link that was used before does no harm to somebody who is signed in already, and one that somebody else sent
   * does not make them somebody else unasked. */
  async #join(code: string): Promise<void> {
    const mine = await api.session().catch(() => null);
    if (mine && !confirm(this.say("join_instead", { name: mine.person.name }))) return this.#signedIn(mine);
    await this.#enter(() => api.join(code), "join_used");
    if (this.signInProblem !== "join_used") return;
    const session = await api.session().catch(() => null);
    if (session) await this.#signedIn(session);
  }

  async #enter(request: () => Promise<unknown>, whenRefused: Word): Promise<void> {
    this.signInProblem = null;
    try {
      await request();
      await this.#signedIn(await api.session());
    } catch (error) {
      this.phase = "signed-out";
      if (error instanceof TurnedAway) return;
      if (!(error instanceof ApiError)) throw error;
      this.codeWanted = error.kind === "code-needed" || (this.codeWanted && whenRefused === "code_wrong");
      if (error.kind === "code-needed") return;
      const theirs = [400, 401, 403, 404, 410, 422].includes(error.status);
      this.signInProblem = error.failure === "unreachable" ? "sign_in_unreachable" : theirs ? whenRefused : "sign_in_refused";
    }
  }

  async signOut(): Promise<void> {
    await this.push.turnOff().catch(() => undefined); // this phone is told no more, whoever has it next
    try {
      await api.signOut();
    } catch {
      // the session ends on the server by itself; what this device keeps goes now in any case
    }
    this.#leave(null);
    location.hash = "#/alerts";
  }

  #leave(problem: Word | null): void {
    this.#stream.stop();
    this.keep.forget();
    window.clearTimeout(this.#toKeep);
    this.#toKeep = undefined;
    this.session = null;
    this.incidents.forget();
    this.places = null;
    this.alerts = {};
    this.faults = [];
    this.endedKnown = false;
    this.#signs = { heardAt: null, open: false, unreachable: false, broker: true };
    this.signInProblem = problem;
    this.phase = "signed-out";
  }

  // ---- asking the server

  /** Takes what the session says of the farms; what is not shown any more goes from this device too. */
  #follow(session: Session): void {
    this.session = session;
    if (!session.sites.some((s) => s.id === this.site)) {
      this.site = session.sites[0]?.id ?? null;
      this.places = null;
    }
    const telling = new Set(session.sites.filter(tellsAlerts).map((s) => s.id));
    const shown = Object.entries(this.alerts).filter(([, alert]) => telling.has(alert.site));
    if (shown.length < Object.keys(this.alerts).length) this.alerts = Object.fromEntries(shown);
  }

  /** Asks for everything shown. Failing is noted in the connection, and the next event or minute asks again. */
  async refresh(): Promise<void> {
    if (this.phase !== "signed-in" || !this.session || this.#asking) return;
    this.#asking = true;
    const askedAt = newestEvent(this.alerts);
    let { site } = this;
    try {
      const session = await api.session(); // a farm may show more, or less, than it did
      if (this.phase !== "signed-in") return; // signed out meanwhile
      this.#follow(session);
      site = this.site;
      const telling = session.sites.filter(tellsAlerts);
      const [places, ...lists] = await Promise.all([
        site ? api.places(site) : null,
        ...telling.map((s) => api.alerts(s.id, "active")),
      ]);
      this.#signs.unreachable = false;
      if (site === this.site && places) {
        this.#setClock(places.time_ms);
        this.places = mergePlaces(this.places, places);
      }
      telling.forEach((s, i) => (this.alerts = putActive(this.alerts, s.id, lists[i] ?? [], askedAt)));
      if (telling.some((s) => s.id === site) && site)
        for (const alert of await api.alerts(site, "ended")) this.alerts = putAlert(this.alerts, alert);
      this.endedKnown = true;
      this.#noteTrue();
      void this.askIncidents();
      if (session.demo && !this.faults.length) this.faults = await api.faults();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#asking = false;
      if (site !== this.site) void this.refresh();
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof ApiError)) throw error;
    if (error.failure === "signed-out") void this.#isOut();
    else if (error.failure === "unreachable") this.#signs.unreachable = true;
  }

  /* A proof or a new password gives this browser another cookie: what was asked before it may be refused after it. */
  async #isOut(): Promise<void> {
    try {
      await api.session();
      this.#refreshSoon();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.failure === "signed-out" && this.phase === "signed-in") this.#leave("signed_out");
    }
  }

  #refreshSoon(): void {
    this.#askAgain ??= window.setTimeout(() => {
      this.#askAgain = undefined;
      void this.refresh();
    }, ASK_AGAIN_MS);
  }

  /** What befell many farms at once; a new one that concerns this person is spoken. */
  async askIncidents(): Promise<boolean> {
    const before = new Set(this.incidents.open.map((one) => one.id));
    try {
      await this.incidents.ask();
    } catch (error) {
      this.#failed(error);
      return false;
    }
    const found = this.incidents.open.find((one) => !before.has(one.id));
    if (found) this.spoken = this.name(found.title);
    return true;
  }

  /** An alert that is not in the book, by its address. False when there is none for this person. */
  async fetchAlert(id: string): Promise<boolean> {
    try {
      this.alerts = putAlert(this.alerts, await api.alert(id));
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  acknowledge(id: string): Promise<void> {
    return this.#answer(id, () => api.acknowledge(id));
  }

  /** An hour later it is open again, or when it gets worse. */
  snooze(id: string): Promise<void> {
    return this.#answer(id, () => api.snooze(id, this.now + 3600e3));
  }

  async #answer(id: string, send: () => Promise<Alert>): Promise<void> {
    if (this.sending !== null || !this.canSend) return;
    this.sending = id;
    this.sendFailed = null;
    try {
      this.alerts = putAlert(this.alerts, await send());
      this.#keepSoon();
    } catch (error) {
      this.sendFailed = id;
      this.#failed(error);
    } finally {
      this.sending = null;
    }
  }

  // ---- what the stream says

  #opened(): void {
    this.#signs.open = true;
    this.#signs.unreachable = false;
    this.#signs.broker = true;
    void this.refresh();
  }

  async #lost(): Promise<void> {
    this.#signs.open = false;
    if (!navigator.onLine) {
      this.#signs.unreachable = true;
      return;
    }
    try {
      await api.session(); // EventSource does not say why it failed: 401 or no network
      this.#signs.unreachable = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  #heard(timeMs: number): void {
    this.#setClock(timeMs);
    this.#signs.heardAt = Date.now();
    this.#noteTrue();
  }

  #setClock(timeMs: number): void {
    this.#clockAhead = timeMs - Date.now();
    this.#tick();
  }

  #readings(readings: Reading[]): void {
    this.#signs.heardAt = Date.now();
    this.#signs.broker = true;
    if (this.places && this.site && mergeReadings(this.places, this.site, readings)) this.#refreshSoon();
    this.#noteTrue();
  }

  #alert(alert: Alert): void {
    this.#signs.heardAt = Date.now();
    const before = this.alerts[alert.id];
    if (before && alertVersion(before) >= alertVersion(alert)) return;
    this.alerts = putAlert(this.alerts, alert);
    this.#announce(before, alert);
    if (alert.state !== "open") void closeNotifications(alert.id);
    this.#refreshSoon(); // the states of devices, and alerts that this one has taken in
    this.#keepSoon();
  }

  #announce(before: Alert | undefined, alert: Alert): void {
    const title = this.name(alert.title);
    if (alert.state === "open" && before?.state !== "open") {
      this.spoken = this.say("new_alert", { severity: this.say(alert.severity), title });
      if (alert.severity === "critical" && this.vibrate) navigator.vibrate?.([200, 100, 200]);
    } else if (alert.state === "ended" && before && before.state !== "ended") {
      this.spoken = this.say("alert_over", { title });
    }
  }

  #broker(up: boolean): void {
    this.#signs.heardAt = Date.now();
    this.#signs.broker = up;
    if (up) void this.refresh();
  }

  // ---- keeping

  #noteTrue(): void {
    if (this.#signs.broker && this.#signs.open) this.#asOf = Date.now() + this.#clockAhead;
    this.#keepSoon();
  }

  #keepSoon(): void {
    this.#toKeep ??= window.setTimeout(() => this.#keepNow(), KEEP_EVERY_MS);
  }

  #keepNow(): void {
    window.clearTimeout(this.#toKeep);
    this.#toKeep = undefined;
    if (this.phase !== "signed-in" || !this.session || !this.site || !this.places || this.#asOf === null) return;
    const alerts = Object.values(this.alerts).filter((alert) => alert.state !== "ended");
    this.keep.setState({ version: 1, session: this.session, time_ms: this.#asOf, site: this.site, places: $state.snapshot(this.places), alerts });
  }

  // ---- choices

  chooseSite(site: string): void {
    this.site = site;
    this.places = null;
    this.endedKnown = false;
    this.#choose({ site });
    void this.refresh();
    location.hash = "#/alerts";
  }

  chooseLanguage(language: Language): void {
    this.language = language;
    this.#choose({ language });
    if (this.session) api.setLanguage(language).catch((error: unknown) => this.#failed(error)); // kept here in any case
  }

  chooseTextSize(textSize: TextSize): void {
    this.textSize = textSize;
    this.#choose({ textSize });
  }

  chooseVibrate(vibrate: boolean): void {
    this.vibrate = vibrate;
    this.#choose({ vibrate });
  }

  #choose(change: Partial<Choices>): void {
    this.keep.setChoices({ ...this.keep.choices(), ...change });
  }

  // ---- the demo's switches

  /** False when the switch did not get through. */
  async setFault(id: string, on: boolean): Promise<boolean> {
    try {
      await api.setFault(id, on);
      const fault = this.faults.find((f) => f.id === id);
      if (fault) fault.on = on;
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}
