/** Sweeps: jobs that differ in some hyperparameters, of which only the best train to the end. */

import { type Finetuned, newIdempotencyKey, postJson, unwrap } from "./client.js";
import { sleep } from "./retry.js";
import type { CreateSweep, SweepObject } from "./types.js";

const POLL_MS = 2_000;
const UNFINISHED = ["running", "cancelling"];

export interface CreateSweepOptions {
  /** Idempotency key, so that a retry by your program does not create a second sweep. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/**
 * Create a sweep: a job for each combination of `values`. `waitForSweep` then waits for its end.
 *
 * The trials are compared by their loss on held-out rows, so there must be a validation file, or a
 * `validation_share` in the hyperparameters.
 */
export function createSweep(
  client: Finetuned,
  body: CreateSweep,
  { idempotencyKey = newIdempotencyKey(), signal }: CreateSweepOptions = {},
): Promise<SweepObject> {
  return postJson(client, "/v1/fine_tuning/sweeps", body, {
    headers: { "idempotency-key": idempotencyKey },
    signal: signal ?? null,
  });
}

/** Retrieve a sweep: its trials with their losses and, once it has ended, the best one. */
export function getSweep(
  client: Finetuned,
  sweepId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<SweepObject> {
  const params = { path: { sweep_id: sweepId } };
  return unwrap(
    client.http.GET("/v1/fine_tuning/sweeps/{sweep_id}", { params, signal: signal ?? null }),
  );
}

/** Iterate over the sweeps, newest first. Pages are fetched on demand. */
export async function* listSweeps(
  client: Finetuned,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<SweepObject, void, undefined> {
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/fine_tuning/sweeps", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

export interface WaitForSweepOptions {
  /** Called with the sweep when a trial's status or loss changes. */
  onChange?: (sweep: SweepObject) => void;
  signal?: AbortSignal;
}

/** Return a sweep once it has ended. Check its `status`, `best_job` and `fine_tuned_model`. */
export async function waitForSweep(
  client: Finetuned,
  sweepId: string,
  { onChange, ...options }: WaitForSweepOptions = {},
): Promise<SweepObject> {
  let seen = "";
  for (;;) {
    const found = await getSweep(client, sweepId, options);
    const now = JSON.stringify(found.trials);
    if (now !== seen) onChange?.(found);
    if (!UNFINISHED.includes(found.status)) return found;
    seen = now;
    await sleep(POLL_MS, options.signal ?? null);
  }
}

/** Cancel a sweep and its jobs. Throws ConflictError if it has succeeded or failed. */
export function cancelSweep(
  client: Finetuned,
  sweepId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<SweepObject> {
  const params = { path: { sweep_id: sweepId } };
  return unwrap(
    client.http.POST("/v1/fine_tuning/sweeps/{sweep_id}/cancel", {
      params,
      signal: signal ?? null,
    }),
  );
}
