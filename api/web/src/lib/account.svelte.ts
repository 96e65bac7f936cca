/* How somebody comes in and what they give to others: ways in, browsers, people of a farm, consents.
 *
 * Calls that need a fresh proof of identity go through `proved`: when the server asks for it, the dialog of
 * `parts/Proof.svelte` opens, and the call is made once more when it was given.
 */
import { ApiError, send, take } from "./api";
import type { Names } from "./contract";
import { makePasskey, usePasskey, type CredentialJson } from "./passkey";

export interface Passkey {
  id: string;
  name: string;
  created_ms: number;
  used_ms: number | null;
  version: number;
}

export interface Ways {
  password: boolean;
  passkeys: Passkey[];
  passkeys_here: boolean;
  codes: boolean;
  recovery_codes_left: number;
  may_make_first: boolean;
  fresh_until_ms: number;
}

export interface SignedInBrowser {
  id: string;
  device: Names;
  created_ms: number;
  seen_ms: number;
  this: boolean;
}

export interface Member {
  id: string;
  name: string;
  role: string;
  role_name: Names;
  me: boolean;
  disabled: boolean;
  asked_to_be_let_in_ms: number | null;
  version: number;
}

export interface Invitation {
  id: string;
  role_name: Names;
  name: string;
  state: "open" | "accepted" | "revoked" | "expired";
  expires_ms: number;
}

export interface Link {
  address: string;
  qr_svg: string;
  expires_ms: number;
}

export interface Invited {
  farm: Names;
  role_name: Names;
  inviter: string;
  name: string;
}

export interface Consent {
  id: string;
  grantee: Names;
  classes: { id: string; name: Names }[];
  from_ms: number;
  until_ms: number | null;
  withdrawn_ms: number | null;
  in_force: boolean;
}

export interface Looked {
  id: string;
  kind: "read" | "change";
  at_ms: number;
  last_ms: number;
  name: string | null;
  role_name: Names;
  data_class: { id: string; name: Names } | null;
  what_name: Names;
  count: number;
}

export interface NewPerson {
  name: string;
  login: string | null;
  password: string | null;
  language: string;
}

interface Rows<T> {
  rows: T[];
  next: string | null;
}

const part = encodeURIComponent;
const site = (id: string): string => `/sites/${part(id)}`;

/** Turned away from a passkey or a proof: nothing happened, and nothing needs to be said. */
export class TurnedAway extends Error {}

export class Account {
  /** The dialog that asks who it is; null when nobody asks. */
  asking = $state.raw<{ codeToo: boolean; done: (proved: boolean) => void } | null>(null);

  /** Does `work`, asking first who it is where the server wants that. `TurnedAway` when nobody says. */
  async proved<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiError) || error.kind !== "proof-needed") throw error;
    }
    const given = await new Promise<boolean>((done) => (this.asking = { codeToo: false, done }));
    this.asking = null;
    if (!given) throw new TurnedAway();
    return work();
  }

  // ---- coming in

  signInWithPasskey = async (): Promise<void> => {
    await send("POST", "/session/passkey", await this.#assertion());
  };
  signInWithCode = (code: string): Promise<Response> => send("POST", "/session/code", { code });
  askToBeLetIn = async (login: string): Promise<Names> => (await take<{ message: Names }>("POST", "/recovery", { login })).message;
  provider = async (): Promise<Names | null> => (await take<{ label: Names | null }>("GET", "/oidc")).label;
  goToProvider = async (): Promise<void> => {
    location.assign((await take<{ address: string }>("POST", "/oidc/start")).address);
  };
  look = (code: string): Promise<Invited> => take("POST", "/invitations/look", { code });
  accept = (code: string, person: NewPerson | null): Promise<Response> => send("POST", "/invitations/accept", person ? { code, new: person } : { code });
  first = (code: string, person: NewPerson): Promise<Response> => send("POST", "/first-administrator", { code, ...person });

  // ---- ways in

  ways = (): Promise<Ways> => take("GET", "/sign-in");
  provePassword = (password: string, code: string | null): Promise<Response> => send("POST", "/session/proof", code ? { password, code } : { password });
  provePasskey = async (): Promise<void> => {
    await send("POST", "/session/proof", { passkey: await this.#assertion() });
  };
  addPasskey = (name: string): Promise<void> =>
    this.proved(async () => {
      const { publicKey } = await take<{ publicKey: Record<string, unknown> }>("POST", "/sign-in/passkeys/options");
      const credential = await makePasskey(publicKey);
      if (!credential) throw new TurnedAway();
      await send("POST", "/sign-in/passkeys", { name, credential });
    });
  removePasskey = (key: Passkey): Promise<Response> =>
    this.proved(() => send("DELETE", `/sign-in/passkeys/${part(key.id)}`, undefined, { "If-Match": `"${key.version}"` }));
  setPassword = (password: string): Promise<Response> => this.proved(() => send("PUT", "/sign-in/password", { password }));
  beginCodes = (): Promise<{ secret: string; qr_svg: string }> => this.proved(() => take("POST", "/sign-in/codes"));
  confirmCodes = async (code: string): Promise<string[]> =>
    (await this.proved(() => take<{ recovery_codes: string[] }>("POST", "/sign-in/codes/confirm", { code }))).recovery_codes;
  endCodes = (): Promise<Response> => this.proved(() => send("DELETE", "/sign-in/codes"));
  browsers = async (): Promise<SignedInBrowser[]> => (await take<Rows<SignedInBrowser>>("GET", "/sessions?limit=100")).rows;
  endBrowser = (id: string): Promise<Response> => send("DELETE", `/sessions/${part(id)}`);
  endOthers = (): Promise<Response> => send("DELETE", "/sessions");

  // ---- people of a farm

  members = async (farm: string): Promise<Member[]> => (await take<Rows<Member>>("GET", `${site(farm)}/members?limit=500`)).rows;
  setRole = (farm: string, member: Member, role: string): Promise<Response> =>
    this.proved(() => send("PUT", `${site(farm)}/members/${part(member.id)}`, { role }, { "If-Match": `"${member.version}"` }));
  removeMember = (farm: string, member: Member): Promise<Response> =>
    this.proved(() => send("DELETE", `${site(farm)}/members/${part(member.id)}`, undefined, { "If-Match": `"${member.version}"` }));
  letIn = (farm: string, member: Member): Promise<Link> => take("POST", `${site(farm)}/members/${part(member.id)}/let-in`);
  invitations = async (farm: string): Promise<Invitation[]> => (await take<Rows<Invitation>>("GET", `${site(farm)}/invitations?limit=100`)).rows;
  invite = async (farm: string, role: string, name: string, language: string): Promise<Link> =>
    (await this.proved(() => take<{ link: Link }>("POST", `${site(farm)}/invitations`, { role, name, language }))).link;
  revoke = (farm: string, id: string): Promise<Response> => send("DELETE", `${site(farm)}/invitations/${part(id)}`);

  // ---- what a farm shows, and who looked

  consents = async (farm: string): Promise<Consent[]> => (await take<Rows<Consent>>("GET", `${site(farm)}/consents?limit=200`)).rows;
  give = (farm: string, role: string, classes: string[], untilMs: number | null): Promise<Response> =>
    send("POST", `${site(farm)}/consents`, { role, classes, until_ms: untilMs });
  withdraw = (farm: string, id: string): Promise<Response> => send("DELETE", `${site(farm)}/consents/${part(id)}`);
  looked = (farm: string, cursor: string | null): Promise<Rows<Looked>> =>
    take("GET", `${site(farm)}/audit?limit=30${cursor ? `&cursor=${part(cursor)}` : ""}`);

  // ---- all of it

  /** The farm's archive begins to be saved, once it is clear who asks for it. */
  takeAlong = async (farm: string): Promise<void> => {
    await this.proved(async () => {
      const { fresh_until_ms } = await this.ways();
      if (fresh_until_ms <= Date.now()) throw new ApiError("refused", 403, "", "proof-needed");
    });
    location.assign(`/api/v1${site(farm)}/archive`);
  };

  async #assertion(): Promise<CredentialJson> {
    const { publicKey } = await take<{ publicKey: Record<string, unknown> }>("POST", "/session/passkey/options");
    const credential = await usePasskey(publicKey);
    if (!credential) throw new TurnedAway();
    return credential;
  }
}

/** A picture of an SVG that the server made; no script in it can run. */
export const pictureOf = (svg: string): string => `data:image/svg+xml;base64,${btoa(unescape(encodeURIComponent(svg)))}`;
