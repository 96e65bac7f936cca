/* Passkeys (Web Authentication) as JSON: what the API gives becomes what browsers take, and back.
 *
 * `PublicKeyCredential.parseRequestOptionsFromJSON` and `toJSON` are younger than the phones this is for, so that the
 * few binary fields are turned here: base64url without padding, as in WebAuthn level 3, section 5.1.
 */

export interface CredentialJson {
  id: string;
  rawId: string;
  type: string;
  response: Record<string, string | string[]>;
}

interface Described {
  id: string;
  type: "public-key";
  transports?: AuthenticatorTransport[];
}

export const passkeysHere = (): boolean => "PublicKeyCredential" in window && "credentials" in navigator;

/** Makes a passkey; null when the person turned away from it. */
export async function makePasskey(options: Record<string, unknown>): Promise<CredentialJson | null> {
  const user = options.user as { id: string; name: string; displayName: string };
  const publicKey = {
    ...options,
    challenge: bytesOf(options.challenge as string),
    user: { ...user, id: bytesOf(user.id) },
    excludeCredentials: described(options.excludeCredentials),
  } as unknown as PublicKeyCredentialCreationOptions;
  const made = await asked(() => navigator.credentials.create({ publicKey }));
  if (!made) return null;
  const response = made.response as AuthenticatorAttestationResponse;
  const transports = typeof response.getTransports === "function" ? response.getTransports() : [];
  return told(made, { clientDataJSON: response.clientDataJSON, attestationObject: response.attestationObject }, { transports });
}

/** Asks for a passkey; null when the person turned away from it, or has none here. */
export async function usePasskey(options: Record<string, unknown>): Promise<CredentialJson | null> {
  const publicKey = {
    ...options,
    challenge: bytesOf(options.challenge as string),
    allowCredentials: described(options.allowCredentials),
  } as unknown as PublicKeyCredentialRequestOptions;
  const used = await asked(() => navigator.credentials.get({ publicKey }));
  if (!used) return null;
  const response = used.response as AuthenticatorAssertionResponse;
  const binary = { clientDataJSON: response.clientDataJSON, authenticatorData: response.authenticatorData, signature: response.signature };
  return told(used, response.userHandle ? { ...binary, userHandle: response.userHandle } : binary, {});
}

async function asked(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential | null> {
  try {
    return (await ask()) as PublicKeyCredential | null;
  } catch (error) {
    // NotAllowedError: turned away, or too late. InvalidStateError: this device has one already.
    if (error instanceof DOMException) return null;
    throw error;
  }
}

function told(credential: PublicKeyCredential, binary: Record<string, ArrayBuffer>, plain: Record<string, string[]>): CredentialJson {
  const response: Record<string, string | string[]> = { ...plain };
  for (const [name, bytes] of Object.entries(binary)) response[name] = textOf(bytes);
  return { id: credential.id, rawId: textOf(credential.rawId), type: credential.type, response };
}

function described(list: unknown): PublicKeyCredentialDescriptor[] {
  return ((list as Described[] | undefined) ?? []).map((one) => ({ ...one, id: bytesOf(one.id) }));
}

export function bytesOf(text: string): ArrayBuffer {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}

export function textOf(buffer: ArrayBuffer): string {
  let binary = "";
  for (const byte of new Uint8Array(buffer)) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
