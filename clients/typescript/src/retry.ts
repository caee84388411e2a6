/**
 * Retry policy, the same as the Python client's.
 *
 * A request is retried if it certainly never arrived, if it was rate limited (429), or, only if it
 * is safe to repeat, if it may have arrived (408, 5xx, a broken connection). The server's
 * `x-should-retry` header overrides these rules, and `retry-after` sets the delay.
 */

import { APIUserAbortError } from "./errors.js";

const AMBIGUOUS = new Set([408, 500, 502, 503, 504]);
const FIRST_MS = 250;
const MAX_MS = 8_000;
/** Longest delay to wait for. If the server requests more, the caller gets the error at once. */
const MAX_RETRY_AFTER_MS = 60_000;
/** Codes of connections that were never made, so that nothing was sent. */
const NEVER_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

/** Return whether the request may be sent again although it may have arrived. */
export function isRepeatable(method: string, headers: Headers): boolean {
  if (headers.has("if-match") || headers.has("if-none-match")) {
    // A second attempt would fail because the first one changed the object.
    return method === "GET";
  }
  return method === "GET" || method === "PUT" || method === "DELETE";
}

/** Return whether the connection failed before anything was sent. */
export function isNeverSent(error: unknown): boolean {
  return NEVER_SENT.has(codeOf(error) ?? "");
}

/** Return the system's code of a failed `fetch`, such as `ECONNREFUSED`, if it has one. */
export function codeOf(error: unknown): string | undefined {
  const cause = (error as { cause?: unknown } | null)?.cause;
  const code = (cause as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** Return the delay after `tries` attempts, with jitter so that clients do not synchronize. */
export function backoffMs(tries: number): number {
  return Math.min(FIRST_MS * 2 ** tries, MAX_MS) * (0.5 + Math.random() / 2);
}

/** Return the delay before the request is sent again, or null if that would not help. */
export function retryDelayMs(response: Response, tries: number, mayRepeat: boolean): number | null {
  const requested = retryAfterMs(response.headers);
  if (requested !== null && requested > MAX_RETRY_AFTER_MS) return null;
  const shouldRetry = response.headers.get("x-should-retry");
  if (shouldRetry === "false") return null;
  const mayPass =
    response.status === 429 ||
    (mayRepeat && (AMBIGUOUS.has(response.status) || shouldRetry === "true"));
  if (!mayPass) return null;
  return requested === null ? backoffMs(tries) : requested + backoffMs(0) / 4;
}

/** Return the delay that the server requests, in seconds, milliseconds or as a date, if any. */
export function retryAfterMs(headers: Headers): number | null {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN);
  if (Number.isFinite(ms)) return Math.max(0, ms);
  const value = headers.get("retry-after");
  if (value === null) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Wait. Throws APIUserAbortError if the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new APIUserAbortError(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) return stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
