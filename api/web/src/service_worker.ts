/* The service worker: starts the page without a network, and shows what is pushed to this phone.
 *
 * Keeps exactly the files of one build (their names carry a hash of their content). The page itself comes from the
 * network when that answers within 4 s, else from the kept copy. /api is never touched: what is live is live, and
 * what is kept of it is the page's business, shown with its age.
 *
 * A push always shows something: a browser takes the subscription away from a page that does not. A newer message about
 * the same alert takes the place of the older one (its tag). A button answers with the session of whoever is signed
 * in here, for the message that it stands under, and what became of it is shown in the same place.
 */
export {}; // a module of its own, so that `self` can be declared; the built file has no exports
declare const self: ServiceWorkerGlobalScope;

const BUILD = JSON.parse("__MAKIBA_BUILD__") as { version: string; files: string[] };
const CACHE = `makiba-${BUILD.version}`;
const PAGE_WAIT_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(BUILD.files))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith("makiba-") && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin || url.pathname.startsWith("/api/")) return;
  if (event.request.mode === "navigate") event.respondWith(page(event.request));
  else if (BUILD.files.includes(url.pathname)) event.respondWith(kept(url.pathname, event.request));
});

async function kept(path: string, request: Request): Promise<Response> {
  return (await caches.match(path)) ?? fetch(request);
}

async function page(request: Request): Promise<Response> {
  const fromNetwork = fetch(request);
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, PAGE_WAIT_MS));
  try {
    const answer = await Promise.race([fromNetwork, late]);
    if (answer?.ok) return answer;
  } catch {
    // no network: the kept page below says so
  }
  return (await caches.match("/")) ?? fromNetwork;
}

// ---------------------------------------------------------------------------------------- what is pushed

interface Pushed {
  id: string;
  severity: string;
  language: string;
  title: string;
  body: string;
  url: string;
  tag: string;
  alert: string | null;
  buttons: { action: string; label: string }[];
}

/** What a notification remembers for when it is pressed. */
interface Kept {
  message: string;
  hash: string;
  language: string;
}

/** Not in TypeScript's list, and not in every browser. */
type Options = NotificationOptions & { actions?: { action: string; title: string }[]; renotify?: boolean; vibrate?: number[]; timestamp?: number };

const API = "/api/v1";
const ANSWERS = ["acknowledge", "snooze"];
const FAILED = { ja: "伝わりませんでした。押して、ページを 開いてください。", en: "It did not get through. Press to open the page." };

self.addEventListener("push", (event) => {
  event.waitUntil(show(event.data));
});

async function show(data: PushMessageData | null): Promise<void> {
  const given = read(data);
  const urgent = given.severity === "critical";
  const options: Options = {
    body: given.body,
    tag: given.tag || "makiba",
    renotify: true, // again is meant: nobody answered, or it got worse
    requireInteraction: urgent,
    silent: given.severity === "info",
    lang: given.language,
    icon: "/icon-192.png",
    badge: "/icon-192.png",
    data: { message: given.id, hash: hashOf(given.url), language: given.language } satisfies Kept,
    actions: given.alert ? given.buttons.filter((b) => ANSWERS.includes(b.action)).map((b) => ({ action: b.action, title: b.label })) : [],
  };
  if (urgent) options.vibrate = [400, 200, 400, 200, 800];
  if (options.silent) delete options.vibrate;
  await self.registration.showNotification(given.title || "まきば", options);
}

function read(data: PushMessageData | null): Pushed {
  const plain: Pushed = { id: "", severity: "advisory", language: "ja", title: "まきば", body: "新しい 知らせが あります。", url: "", tag: "", alert: null, buttons: [] };
  try {
    return { ...plain, ...(data?.json() as Partial<Pushed>) };
  } catch {
    return plain;
  }
}

/** Only the place within these pages: a push opens no other address. */
function hashOf(url: string): string {
  try {
    return new URL(url, self.location.origin).hash || "#/alerts";
  } catch {
    return "#/alerts";
  }
}

self.addEventListener("notificationclick", (event) => {
  const { notification } = event;
  const kept = (notification.data ?? {}) as Partial<Kept>;
  notification.close();
  event.waitUntil(ANSWERS.includes(event.action) && kept.message ? answer(notification, event.action, kept) : open(kept.hash ?? "#/alerts"));
});

async function answer(notification: Notification, action: string, kept: Partial<Kept>): Promise<void> {
  const language = kept.language === "en" ? "en" : "ja";
  let said = FAILED[language];
  let failed = true;
  try {
    const asked = await fetch(`${API}/me/messages/${encodeURIComponent(kept.message ?? "")}/answer`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Makiba": "1" },
      body: JSON.stringify({ action }),
      credentials: "same-origin",
    });
    if (asked.ok) {
      said = ((await asked.json()) as { said: { ja: string; en: string } }).said[language];
      failed = false;
    }
  } catch {
    // no network: said below
  }
  const options: Options = { body: said, tag: notification.tag, lang: language, icon: "/icon-192.png", badge: "/icon-192.png", silent: !failed, data: kept };
  await self.registration.showNotification(notification.title, options);
}

async function open(hash: string): Promise<void> {
  const pages = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const shown = pages.find((one) => new URL(one.url).origin === self.location.origin);
  if (!shown) {
    await self.clients.openWindow(`/${hash}`);
    return;
  }
  await shown.focus().catch(() => undefined);
  shown.postMessage({ go: hash });
}

/* The browser changed the subscription by itself: the new one takes the place of the old one. */
self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil(renew(event as PushSubscriptionChangeEvent));
});

async function renew(event: PushSubscriptionChangeEvent): Promise<void> {
  const options = event.oldSubscription?.options;
  const made = event.newSubscription ?? (options ? await self.registration.pushManager.subscribe(options) : null);
  if (!made) return; // the page does it when it is opened next
  const { endpoint, keys } = made.toJSON();
  await fetch(`${API}/push/subscriptions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Makiba": "1" },
    body: JSON.stringify({ endpoint, keys: { p256dh: keys?.p256dh, auth: keys?.auth } }),
    credentials: "same-origin",
  });
}

interface PushSubscriptionChangeEvent extends ExtendableEvent {
  readonly newSubscription: PushSubscription | null;
  readonly oldSubscription: PushSubscription | null;
}
