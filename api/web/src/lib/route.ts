/* Addresses of the pages, after the `#`: they work from any kept copy of the one page. */
export type Route =
  | { page: "alerts" }
  | { page: "alert"; id: string }
  | { page: "places" }
  | { page: "series"; subject: string; quantity: string }
  | { page: "settings" }
  | { page: "notify" }
  | { page: "ways" }
  | { page: "people" }
  | { page: "shares" }
  | { page: "incidents" };

export function readRoute(hash: string): Route {
  const [page = "", ...rest] = hash.replace(/^#\/?/, "").split("/").map(decode);
  if (page === "alerts" && rest[0]) return { page: "alert", id: rest[0] };
  if (page === "places" && rest[0] && rest[1]) return { page: "series", subject: rest[0], quantity: rest[1] };
  if (page === "places" || page === "settings" || page === "notify" || page === "ways" || page === "people" || page === "shares" || page === "incidents") return { page };
  return { page: "alerts" };
}

export function writeRoute(route: Route): string {
  const part = encodeURIComponent;
  if (route.page === "alert") return `#/alerts/${part(route.id)}`;
  if (route.page === "series") return `#/places/${part(route.subject)}/${part(route.quantity)}`;
  return `#/${route.page}`;
}

/** A one-time code that an address brings: to sign in, an invitation to a farm, or for the first administrator. */
export interface Brought {
  kind: "join" | "invite" | "first";
  code: string;
}

/** The code behind the `#` of a link, null for any other address. */
export function broughtBy(hash: string): Brought | null {
  const match = /^#(join|invite|first)=([^&]+)$/.exec(hash);
  return match ? { kind: match[1] as Brought["kind"], code: decode(match[2] ?? "") } : null;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
