/** Retry policy: which requests are retried, and after what delay. */

export interface RetryOptions {
  /** Maximum number of retries of a failed request. */
  maxRetries: number;
  signal?: AbortSignal | null | undefined;
}

const FIRST_MS = 500;
const MAX_MS = 8_000;
/** Longest delay to wait for. If the server requests more, the caller gets the error at once. */
const MAX_RETRY_AFTER_MS = 60_000;

/** Return whether the request is idempotent. */
export function isRepeatable(method: string, headers: Headers): boolean {
  if (headers.has("idempotency-key")) return true;
  // A conditional request repeated would fail because the first attempt changed the object.
  const conditional = headers.has("if-match") || headers.has("if-none-match");
  return method === "GET" || method === "HEAD" || (method === "PUT" && !conditional);
}

/** Return whether a retry may get a different response; `x-should-retry` takes precedence. */
export function mayPass(response: Response, repeatable: boolean): boolean {
  const shouldRetry = response.headers.get("x-should-retry");
  if (shouldRetry === "false") return false;
  // A rate-limited request had no effect, so any request can be retried.
  if (response.status === 429) return true;
  return repeatable && (response.status === 408 || response.status >= 500);
}

/** Return the delay before attempt `attempt` + 1, or null if it is too long. */
export function delayMs(attempt: number, response?: Response): number | null {
  const requested = retryAfterMs(response?.headers.get("retry-after") ?? null);
  if (requested !== null && requested > MAX_RETRY_AFTER_MS) return null;
  const grown = Math.min(FIRST_MS * 2 ** attempt, MAX_MS);
  // Half of it is jitter, so that clients do not all retry at the same time.
  return (requested ?? grown / 2) + (Math.random() * grown) / 2;
}

/** Parse `retry-after`, given in seconds or as a date. */
export function retryAfterMs(value: string | null): number | null {
  if (value === null) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Wait. Rejects with the signal's reason if it is aborted. */
export function sleep(ms: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
