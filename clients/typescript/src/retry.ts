/** When a request is sent again, and how long to wait before. */

export interface RetryOptions {
  /** How often a request that failed is sent again. */
  maxRetries: number;
  signal?: AbortSignal | null | undefined;
}

const FIRST_MS = 500;
const LONGEST_MS = 8_000;
/** A server that asks for more is not waited for: the caller learns of it at once. */
const LONGEST_ASKED_MS = 60_000;

/** Whether sending it twice does no more than sending it once. */
export function isRepeatable(method: string, headers: Headers): boolean {
  if (headers.has("idempotency-key")) return true;
  // With a condition the second of two would fail on what the first has changed.
  const conditional = headers.has("if-match") || headers.has("if-none-match");
  return method === "GET" || method === "HEAD" || (method === "PUT" && !conditional);
}

/** Whether this answer may be another one next time; `x-should-retry` has the last word. */
export function mayPass(response: Response, repeatable: boolean): boolean {
  const said = response.headers.get("x-should-retry");
  if (said === "false") return false;
  // Over a limit nothing was done, whatever was asked for.
  if (response.status === 429) return true;
  return repeatable && (response.status === 408 || response.status >= 500);
}

/** How long to wait before try `attempt` + 1; null where it is too long to wait. */
export function delayMs(attempt: number, response?: Response): number | null {
  const asked = retryAfterMs(response?.headers.get("retry-after") ?? null);
  if (asked !== null && asked > LONGEST_ASKED_MS) return null;
  const grown = Math.min(FIRST_MS * 2 ** attempt, LONGEST_MS);
  // Half of it by chance, so that many clients do not come back together.
  return (asked ?? grown / 2) + (Math.random() * grown) / 2;
}

/** `retry-after` in seconds or as a date. */
export function retryAfterMs(value: string | null): number | null {
  if (value === null) return null;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

/** Wait; rejects with the signal's reason when it is aborted. */
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
