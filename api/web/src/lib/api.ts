/* Requests to the API. Every failure is an ApiError that says which kind it is; nothing is retried here. */
import type { Alert, Fault, Language, Places, Session, Windows } from "./contract";

/** unreachable: no answer at all; signed-out: 401; refused: the server answered and said no. */
export type Failure = "unreachable" | "signed-out" | "refused";

export class ApiError extends Error {
  constructor(
    readonly failure: Failure,
    readonly status: number,
    message: string,
    /** The end of the problem's type, such as `proof-needed`; empty where the status says it all. */
    readonly kind = "",
  ) {
    super(message);
  }
}

const BASE = "/api/v1";
const WAIT_MS = 15_000;

export async function send(method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<Response> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), WAIT_MS);
  const headers: Record<string, string> = method === "GET" ? more : { "X-Makiba": "1", ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer: Response;
  try {
    answer = await fetch(BASE + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      signal: stop.signal,
    });
  } catch (error) {
    throw new ApiError("unreachable", 0, String(error));
  } finally {
    clearTimeout(timer);
  }
  if (answer.ok || answer.status === 304) return answer; // 304 only where the caller named what it has
  // 502..504 come from a proxy whose Makiba is down: for the person that is the same as no answer
  if (answer.status >= 502 && answer.status <= 504) throw new ApiError("unreachable", answer.status, answer.statusText);
  const problem = await problemOf(answer);
  const kind = /^\/problems\/(.+)$/.exec(problem.type ?? "")?.[1] ?? "";
  throw new ApiError(answer.status === 401 ? "signed-out" : "refused", answer.status, problem.detail ?? problem.title ?? answer.statusText, kind);
}

async function problemOf(answer: Response): Promise<{ type?: string; title?: string; detail?: string }> {
  try {
    return (await answer.json()) as { type?: string; title?: string; detail?: string };
  } catch {
    return {};
  }
}

/** What a request is answered with. */
export async function take<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await (await send(method, path, body)).json()) as T;
}

const get = <T>(path: string): Promise<T> => take<T>("GET", path);

const part = encodeURIComponent;

export const api = {
  session: () => get<Session>("/session"),
  signIn: (login: string, password: string) => send("POST", "/session", { login, password }),
  join: (code: string) => send("POST", "/session/join", { code }),
  signOut: () => send("DELETE", "/session"),
  setLanguage: (language: Language) => send("PUT", "/session/language", { language }),
  places: (site: string) => get<Places>(`/sites/${part(site)}/places`),
  alerts: async (site: string, state: "active" | "ended", limit = 50) =>
    (await get<{ rows: Alert[] }>(`/sites/${part(site)}/alerts?state=${state}&limit=${limit}`)).rows,
  alert: (id: string) => get<Alert>(`/alerts/${part(id)}`),
  acknowledge: async (id: string) => (await (await send("POST", `/alerts/${part(id)}/acknowledge`)).json()) as Alert,
  snooze: async (id: string, untilMs: number) =>
    (await (await send("POST", `/alerts/${part(id)}/snooze`, { until_ms: Math.floor(untilMs) })).json()) as Alert,
  windows: (site: string, subject: string, quantity: string, startMs: number, endMs: number, points: number) =>
    get<Windows>(
      `/sites/${part(site)}/series/${part(subject)}/${part(quantity)}/windows?start_ms=${Math.floor(startMs)}&end_ms=${Math.floor(endMs)}&points=${points}`,
    ),
  faults: () => get<Fault[]>("/demo/faults"),
  setFault: (id: string, on: boolean) => send("PUT", `/demo/faults/${part(id)}`, { on }),
};
