/* The server's event stream, kept open: reconnects with back-off, notices silence and the phone's waking up.
 *
 * Promises its listener: `onOpen` after each (re)connection, so that it can fetch what it missed; never two streams.
 * EventSource's own retry is not used: it neither backs off nor notices a dead line.
 */
import { backOff, SILENCE_MS } from "./connection";
import type { Alert, Reading } from "./contract";

export interface Listener {
  onOpen(): void;
  onLost(): void;
  onTime(timeMs: number): void;
  onReadings(readings: Reading[]): void;
  onAlert(alert: Alert): void;
  onBroker(up: boolean): void;
}

export class Stream {
  #source: EventSource | null = null;
  #failures = 0;
  #timer: number | undefined;
  #watch: number | undefined;
  #heardAt = 0;
  #stopped = true;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
  ) {}

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    document.addEventListener("visibilitychange", this.#wake);
    window.addEventListener("online", this.#wake);
    window.addEventListener("offline", this.#cut);
    window.addEventListener("pageshow", this.#wake);
    this.#watch = window.setInterval(this.#check, 5000);
    this.#connect();
  }

  stop(): void {
    this.#stopped = true;
    document.removeEventListener("visibilitychange", this.#wake);
    window.removeEventListener("online", this.#wake);
    window.removeEventListener("offline", this.#cut);
    window.removeEventListener("pageshow", this.#wake);
    window.clearInterval(this.#watch);
    this.#close();
  }

  #connect(): void {
    this.#close();
    if (this.#stopped) return;
    const source = new EventSource(this.url);
    this.#source = source;
    this.#heardAt = Date.now();
    const hear = <T>(name: string, take: (data: T) => void): void => {
      source.addEventListener(name, (event) => {
        if (source !== this.#source) return;
        this.#heardAt = Date.now();
        const data = JSON.parse((event as MessageEvent<string>).data) as T;
        take(data);
      });
    };
    hear<{ time_ms: number }>("hello", ({ time_ms }) => {
      this.#failures = 0;
      this.listener.onTime(time_ms);
      this.listener.onOpen();
    });
    hear<{ time_ms: number }>("ping", ({ time_ms }) => this.listener.onTime(time_ms));
    hear<Reading[]>("readings", (readings) => this.listener.onReadings(readings));
    hear<Alert>("alert", (alert) => this.listener.onAlert(alert));
    hear<{ broker: boolean }>("centre", ({ broker }) => this.listener.onBroker(broker));
    source.onerror = () => {
      if (source === this.#source) this.#lost();
    };
  }

  #close(): void {
    window.clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  #lost(): void {
    this.#close();
    if (this.#stopped) return;
    this.#failures += 1;
    this.listener.onLost();
    this.#timer = window.setTimeout(() => this.#connect(), backOff(this.#failures, Math.random()));
  }

  /* A line that died without a word: the browser would wait for minutes. */
  #check = (): void => {
    if (this.#source && Date.now() - this.#heardAt > SILENCE_MS) this.#lost();
  };

  /* Seen again after sleep, or a network is back: do not wait for the rest of the back-off. */
  #wake = (): void => {
    if (document.visibilityState !== "visible") return;
    const silent = Date.now() - this.#heardAt > SILENCE_MS / 2;
    if (this.#source === null || silent) {
      this.#failures = 0;
      this.#connect();
    }
  };

  #cut = (): void => {
    if (this.#source) this.#lost();
  };
}
