/** Who is signed in, and what they may do. The cookie of the session cannot be read by pages. */

import type { Caller, Session } from "@finetuned/client";

export type Permission = Caller["permissions"][number];

/** Why a sign-in failed: a code with a text under `sign_in.failed`. */
export class SignInError extends Error {
  constructor(readonly code: "rejected" | "offline" | "limited" | "other") {
    super(code);
  }
}

class SessionState {
  current: Session | null = $state.raw(null);
  /** The session has ended while a page was open: a dialog asks to sign in again. */
  isExpired = $state(false);
  /** Code of the answer that said so, such as `session_expired`. */
  endedBy: string | null = $state(null);
  /** The service did not answer when the page was opened, so who is signed in is unknown. */
  isUnknown = $state(false);
  #waiting: (() => void)[] = [];
  /** Tells the other tabs, which share the cookie, that someone signed in or out. */
  readonly #tabs = new BroadcastChannel("finetuned-session");

  constructor() {
    this.#tabs.onmessage = ({ data }) => {
      if (!this.isSignedIn) return;
      if (data === "signed-out") location.replace("/console/sign-in");
      else (this.isExpired ? this.restore() : this.refresh()).catch(() => undefined);
    };
  }

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

  /** Whether an ID is that of the person: of the login, the service account, or the key. */
  isCaller(id: string | null): boolean {
    const key = this.caller?.api_key;
    return id !== null && (id === key?.id || id === key?.owner.service_account.id);
  }

  /** Find the session of this browser's cookie, which another tab may have begun. */
  async restore(): Promise<void> {
    try {
      const response = await fetch("/v1/session", { credentials: "same-origin" });
      if (response.ok) this.#accept((await response.json()) as Session);
      else if (response.status !== 401) throw new Error(String(response.status));
      this.isUnknown = false;
    } catch {
      this.isUnknown = !this.isSignedIn;
    }
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
    this.#accept((await response.json()) as Session);
  }

  /** End the session. Throws if the service does not answer: only it can delete the cookie. */
  async signOut(): Promise<void> {
    const token = this.csrfToken;
    const headers: HeadersInit = token ? { "x-csrf-token": token } : {};
    const response = await fetch("/v1/session", { method: "DELETE", headers });
    if (!response.ok && response.status !== 401) throw new Error(String(response.status));
    this.current = null;
    this.isExpired = false;
    this.#tabs.postMessage("signed-out");
  }

  /** Ask for the role again, after a request that it did not allow. */
  async refresh(): Promise<void> {
    const response = await fetch("/v1/session", { credentials: "same-origin" });
    if (response.ok) this.#take((await response.json()) as Session);
  }

  /** Wait until the person has signed in again. */
  renewed(endedBy: string | null): Promise<void> {
    this.endedBy = endedBy;
    this.isExpired = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #accept(session: Session): void {
    if (!this.#take(session)) return;
    this.isUnknown = false;
    this.isExpired = false;
    this.endedBy = null;
    this.#tabs.postMessage("signed-in");
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /**
   * Show a session. Returns false if it is of another project: then the page starts anew, and what
   * waits is never sent, since it is of the project before.
   */
  #take(session: Session): boolean {
    const before = this.caller?.project.id;
    if (before !== undefined && before !== session.caller.project.id) {
      location.replace("/console");
      return false;
    }
    this.current = session;
    return true;
  }
}

export const session = new SessionState();
