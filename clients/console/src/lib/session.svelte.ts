/** Who is signed in, and what they may do. The cookie of the session cannot be read by pages. */

import type { Caller, Session } from "@finetuned/client";

export type Permission = Caller["permissions"][number];

/** Why a sign-in failed: a code with a text under `session.failed`. */
export class SignInError extends Error {
  constructor(readonly code: "rejected" | "offline" | "limited" | "other") {
    super(code);
  }
}

class SessionState {
  current: Session | null = $state.raw(null);
  /** The session has ended while a page was open: a dialog asks to sign in again. */
  isExpired = $state(false);
  #waiting: (() => void)[] = [];

  get isSignedIn(): boolean {
    return this.current !== null;
  }

  get csrfToken(): string | null {
    return this.current?.csrf_token ?? null;
  }

  get caller(): Caller | null {
    return this.current?.caller ?? null;
  }

  /** Whether the role of the person allows something. Controls that it does not are not shown. */
  can(permission: Permission): boolean {
    return this.caller?.permissions.includes(permission) ?? false;
  }

  /** Find the session of this browser's cookie. Returns whether there is one. */
  async restore(): Promise<boolean> {
    const response = await fetch("/v1/session", { credentials: "same-origin" });
    if (response.ok) this.current = (await response.json()) as Session;
    return response.ok;
  }

  /** Begin a session with an API key, which is not kept. Throws SignInError. */
  async signIn(apiKey: string): Promise<void> {
    let response: Response;
    try {
      response = await fetch("/v1/session", {
        method: "POST",
        headers: { authorization: `Bearer ${apiKey.trim()}` },
      });
    } catch {
      throw new SignInError("offline");
    }
    if (response.status === 401) throw new SignInError("rejected");
    if (response.status === 429) throw new SignInError("limited");
    if (!response.ok) throw new SignInError("other");
    this.current = (await response.json()) as Session;
    this.#resume();
  }

  async signOut(): Promise<void> {
    const token = this.csrfToken;
    const headers: HeadersInit = token ? { "x-csrf-token": token } : {};
    await fetch("/v1/session", { method: "DELETE", headers }).catch(() => undefined);
    this.current = null;
    this.isExpired = false;
  }

  /** Ask for the role again, after a request that it did not allow. */
  async refresh(): Promise<void> {
    const response = await fetch("/v1/session", { credentials: "same-origin" });
    if (response.ok) this.current = (await response.json()) as Session;
  }

  /** Wait until the person has signed in again. */
  renewed(): Promise<void> {
    this.isExpired = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #resume(): void {
    this.isExpired = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export const session = new SessionState();
