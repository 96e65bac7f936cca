/* The service worker: starts the page without a network, and nothing more.
 *
 * Keeps exactly the files of one build (their names carry a hash of their content). The page itself comes from the
 * network when that answers within 4 s, else from the kept copy. /api is never touched: what is live is live, and
 * what is kept of it is the page's business, shown with its age.
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
