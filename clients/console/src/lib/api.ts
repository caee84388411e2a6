/** The client of the API that all pages use, in the session of this browser. */

import { APIConnectionError, APIError, Finetuned } from "@finetuned/client";
import { connection } from "./connection.svelte.ts";
import { session } from "./session.svelte.ts";

export { APIConnectionError, APIError };

/**
 * Send a request with the session's cookie and CSRF token.
 *
 * If the session has ended, the page asks the person to sign in again and then repeats the request,
 * so that nothing typed is lost. What another person asked to change is not repeated in one's name:
 * it fails, and the page keeps what was typed.
 */
async function sessionFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  for (;;) {
    const headers = new Headers(init?.headers);
    headers.delete("authorization");
    if (session.csrfToken) headers.set("x-csrf-token", session.csrfToken);
    let response: Response;
    const answered = connection.wait();
    try {
      response = await fetch(input, { ...init, headers, credentials: "same-origin" });
    } catch (error) {
      if (!init?.signal?.aborted) connection.lost();
      throw error;
    } finally {
      answered();
    }
    if (isGatewayError(response)) {
      connection.lost();
      return response;
    }
    connection.found();
    if (response.status !== 401 || !session.isSignedIn) {
      if (response.status === 403) void session.refresh();
      return response;
    }
    const before = session.caller?.api_key.id;
    await session.renewed(await codeOf(response.clone()));
    const isSame = session.caller?.api_key.id === before;
    if (!isSame && !["GET", "HEAD"].includes(init?.method ?? "GET")) {
      const message = "Not sent: you signed in as someone else. Check it, and send it again.";
      return Response.json({ error: { code: "other_sign_in", message } }, { status: 401 });
    }
  }
}

/** Whether a proxy answered because the API did not: the API's own errors are JSON. */
function isGatewayError(response: Response): boolean {
  const isJSON = response.headers.get("content-type")?.includes("json") ?? false;
  return [502, 503, 504].includes(response.status) && !isJSON;
}

async function codeOf(response: Response): Promise<string | null> {
  const body = await response.json().catch(() => null);
  return (body as { error?: { code?: string } } | null)?.error?.code ?? null;
}

/** The client. It has no API key: `sessionFetch` authenticates. */
export const client = new Finetuned({
  baseURL: location.origin,
  apiKey: "session",
  fetch: sessionFetch,
  maxRetries: 1,
});

/** The error of the API in a thrown value: its code, message and request ID. */
export interface Fault {
  status: number | null;
  code: string | null;
  message: string;
  param: string | null;
  requestId: string | null;
}

export function faultOf(error: unknown): Fault {
  if (error instanceof APIError && !(error instanceof APIConnectionError)) {
    return {
      status: error.status ?? null,
      code: error.code ?? null,
      message: error.error?.message ?? error.message,
      param: error.param ?? null,
      requestId: error.requestID ?? null,
    };
  }
  const isOffline = error instanceof APIConnectionError || error instanceof TypeError;
  const text = (error as { message?: unknown } | null)?.message;
  const message = typeof text === "string" ? text : String(error);
  return {
    status: null,
    code: isOffline ? "offline" : null,
    message,
    param: null,
    requestId: null,
  };
}
