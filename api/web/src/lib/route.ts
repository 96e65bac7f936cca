/* Addresses of the pages, after the `#`: they work from any kept copy of the one page. */
export type Route =
  | { page: "alerts" }
  | { page: "alert"; id: string }
  | { page: "places" }
  | { page: "series"; subject: string; quantity: string }
  | { page: "settings" };

export function readRoute(hash: string): Route {
  const [page = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (page === "alerts" && rest[0]) return { page: "alert", id: rest[0] };
  if (page === "places" && rest[0] && rest[1]) return { page: "series", subject: rest[0], quantity: rest[1] };
  if (page === "places" || page === "settings") return { page };
  return { page: "alerts" };
}

export function writeRoute(route: Route): string {
  const part = encodeURIComponent;
  if (route.page === "alert") return `#/alerts/${part(route.id)}`;
  if (route.page === "series") return `#/places/${part(route.subject)}/${part(route.quantity)}`;
  return `#/${route.page}`;
}

/** The one-time code of a sign-in link `#join=CODE`, null for any other address. */
export function joinCode(hash: string): string | null {
  const match = /^#join=([^&]+)$/.exec(hash);
  return match ? decode(match[1] ?? "") : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
