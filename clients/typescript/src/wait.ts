/** Waits for operations and other work in the background. */

import type { CallOptions } from "./core.js";
import { APIConnectionTimeoutError, ConflictError } from "./errors.js";
import { sleep } from "./retry.js";
import { isTemporary, PATIENCE_MS, type PatienceOptions } from "./streams.js";

const POLL_MS = 1_000;
/** Seconds for which the service may wait itself before it responds. */
const MAX_WAIT_S = 30;
/** Time in milliseconds in which it responds after that. */
const ANSWER_MS = 60_000;
/** Statuses of work that has not ended, of all kinds of objects. */
const UNFINISHED = new Set([
  "queued",
  "pending",
  "uploaded",
  "validating",
  "validating_files",
  "running",
  "in_progress",
  "pausing",
  "paused",
  "finalizing",
  "cancelling",
]);

export interface WaitOptions<T> extends PatienceOptions {
  /** Called with the object when its status or progress changes. */
  onProgress?: ((found: T) => void) | undefined;
  /** Time in milliseconds to wait. Default: until the end. The work continues after it. */
  maxWait?: number | undefined;
}

/**
 * Return what `retrieve` returns once its status is final. It also gets the seconds for which the
 * service may wait.
 *
 * A service that is unreachable or restarts is asked again for `patience`.
 */
export async function waitFor<T>(
  retrieve: (options: CallOptions, wait: number) => PromiseLike<T>,
  {
    onProgress,
    maxWait = Number.POSITIVE_INFINITY,
    patience = PATIENCE_MS,
    signal,
  }: WaitOptions<NoInfer<T>> = {},
): Promise<T> {
  const deadline = Date.now() + maxWait;
  let heard = Date.now();
  let seen = "";
  for (;;) {
    const asked = Date.now();
    try {
      const wait = Math.min(MAX_WAIT_S, Math.max(0, Math.floor((deadline - asked) / 1000)));
      const found = await retrieve({ signal }, wait);
      heard = Date.now();
      const now = progressOf(found);
      if (now !== seen) onProgress?.(found);
      seen = now;
      if (!UNFINISHED.has(statusOf(found))) return found;
    } catch (error) {
      if (!isTemporary(error) || Date.now() - heard > patience) throw error;
    }
    const left = deadline - Date.now();
    if (left <= 0) {
      throw new APIConnectionTimeoutError(
        `It did not end within ${maxWait / 1000} s. It continues; wait for it again later.`,
      );
    }
    // A service that waited itself is asked again at once.
    await sleep(Math.min(left, Math.max(0, POLL_MS - (Date.now() - asked))), signal);
  }
}

/** Return the options of a request for which the service waits, longer than a client's timeout. */
export function pollOf(wait: number, options: CallOptions): CallOptions {
  return { ...options, timeout: wait * 1000 + ANSWER_MS };
}

/** Repeat a request that needs checked files until they are checked. */
export async function whenFilesAreReady<T>(
  request: () => PromiseLike<T>,
  signal?: AbortSignal | null,
): Promise<T> {
  for (;;) {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof ConflictError) || error.code !== "not_ready") throw error;
      await sleep(POLL_MS, signal);
    }
  }
}

function statusOf(found: unknown): string {
  return (found as { status: string }).status;
}

/** Return all that changes while it goes on; a job's figures are in its events. */
function progressOf(found: unknown): string {
  const { status, progress, counts } = found as Record<string, unknown>;
  return JSON.stringify([status, progress, counts]);
}
