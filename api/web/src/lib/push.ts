/* This browser's subscription to Web Push. What it belongs to is kept on the device: whose it is, and its address.
 *
 * Browsers allow the question for permission only in answer to a press, and Safari on iPhone only in an app of the home
 * screen. A subscription that was made with another key, or by somebody else on this phone, is of no use and is ended.
 */
import { send, take } from "./api";
import type { Shelf } from "./keep";

/** no-service: this Makiba sends to no browser. home: an iPhone whose page is not on the home screen yet. */
export type PushState = "no-service" | "not-here" | "home" | "denied" | "off" | "on";

interface Mark {
  person: string;
  address: string;
  key: string;
}

const MARK = "makiba.push";
const APPLE = /iPhone|iPad|iPod/;

/** What the browser can do, without asking it for anything. */
export function pushHere(nav: Navigator = navigator, standalone = isStandalone()): "yes" | "not-here" | "home" {
  const touchMac = nav.userAgent.includes("Macintosh") && nav.maxTouchPoints > 1; // an iPad that calls itself a Mac
  if ((APPLE.test(nav.userAgent) || touchMac) && !standalone) return "home";
  return "serviceWorker" in nav && "PushManager" in window && "Notification" in window ? "yes" : "not-here";
}

function isStandalone(): boolean {
  return (navigator as Navigator & { standalone?: boolean }).standalone === true || window.matchMedia("(display-mode: standalone)").matches;
}

export class Push {
  constructor(private readonly shelf: Shelf | null) {}

  /** The address of this phone, null when it is not told. */
  get address(): string | null {
    return this.#mark()?.address ?? null;
  }

  async state(person: string): Promise<PushState> {
    const key = await serverKey();
    if (!key) return "no-service";
    const here = pushHere();
    if (here !== "yes") return here;
    if (Notification.permission === "denied") return "denied";
    const mark = this.#mark();
    const known = mark?.person === person && mark.key === key;
    return known && Notification.permission === "granted" && (await subscription()) ? "on" : "off";
  }

  /** Call it from a press: asks for permission, and has this phone told. False when the person said no. */
  async turnOn(person: string): Promise<boolean> {
    if ((await Notification.requestPermission()) !== "granted") return false;
    const key = await serverKey();
    if (!key) return false;
    await this.#subscribe(person, key, true);
    return true;
  }

  async turnOff(): Promise<void> {
    const address = this.address;
    this.#forget();
    if (address) await send("DELETE", `/push/subscriptions/${encodeURIComponent(address)}`).catch(() => undefined);
    await (await subscription())?.unsubscribe().catch(() => false);
  }

  /** When somebody came in: what this phone had stays theirs, or ends when it was somebody else's. */
  async follow(person: string): Promise<void> {
    const mark = this.#mark();
    if (!mark || pushHere() !== "yes" || Notification.permission !== "granted") return;
    if (mark.person !== person) return this.turnOff();
    const key = await serverKey();
    if (key) await this.#subscribe(person, key, mark.key !== key);
  }

  async #subscribe(person: string, key: string, anew: boolean): Promise<void> {
    const worker = await registration();
    if (!worker) throw new Error("there is no service worker");
    let made = await worker.pushManager.getSubscription();
    if (made && anew && this.#mark()?.key !== key) {
      await made.unsubscribe();
      made = null;
    }
    made ??= await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
    const { endpoint, keys } = made.toJSON();
    const { id } = await take<{ id: string }>("POST", "/push/subscriptions", { endpoint, keys: { p256dh: keys?.p256dh, auth: keys?.auth } });
    this.#keep({ person, address: id, key });
  }

  #mark(): Mark | null {
    try {
      return JSON.parse(this.shelf?.getItem(MARK) ?? "null") as Mark | null;
    } catch {
      return null;
    }
  }
  #keep(mark: Mark): void {
    try {
      this.shelf?.setItem(MARK, JSON.stringify(mark));
    } catch {
      // it is told all the same; the page only cannot say so next time
    }
  }
  #forget(): void {
    try {
      this.shelf?.removeItem(MARK);
    } catch {
      // nothing was kept then
    }
  }
}

/** Takes the notification of an alert away that was answered, or is over. */
export async function closeNotifications(tag: string): Promise<void> {
  const worker = await registration().catch(() => undefined);
  for (const shown of (await worker?.getNotifications?.({ tag })) ?? []) shown.close();
}

const serverKey = async (): Promise<string | null> => (await take<{ key: string | null }>("GET", "/push")).key;

async function registration(): Promise<ServiceWorkerRegistration | undefined> {
  return "serviceWorker" in navigator ? navigator.serviceWorker.getRegistration() : undefined;
}

async function subscription(): Promise<PushSubscription | null> {
  return (await (await registration())?.pushManager.getSubscription()) ?? null;
}

/** A key in base64url as bytes. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/") + "=".repeat((4 - (text.length % 4)) % 4));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}
