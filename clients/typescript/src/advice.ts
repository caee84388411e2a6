/** Advice before a training. */

import { type Finetuned, newIdempotencyKey, postJson, unwrap } from "./client.js";
import { ConflictError } from "./errors.js";
import { sleep } from "./retry.js";
import type { AdviceObject, CreateAdvice } from "./types.js";

const POLL_MS = 2_000;

export interface AdviseOptions {
  /** Idempotency key, so that a retry by your program does not ask twice. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/**
 * Ask whether a training is worth it, and return the advice once it has ended. Check its `status`.
 *
 * Waits for the check of the file first. An engine must serve the base model.
 */
export async function advise(
  client: Finetuned,
  body: CreateAdvice,
  { idempotencyKey = newIdempotencyKey(), signal }: AdviseOptions = {},
): Promise<AdviceObject> {
  const headers = { "idempotency-key": idempotencyKey };
  let advice: AdviceObject | null = null;
  for (;;) {
    try {
      advice ??= await postJson<AdviceObject>(client, "/v1/fine_tuning/advice", body, {
        headers,
        signal: signal ?? null,
      });
    } catch (error) {
      if (!(error instanceof ConflictError) || error.code !== "not_ready") throw error;
    }
    if (advice !== null && advice.status !== "in_progress") return advice;
    await sleep(POLL_MS, signal ?? null);
    advice &&= await getAdvice(client, advice.id, signal ? { signal } : {});
  }
}

/** Retrieve an advice: its status, and its result if it is completed. */
export function getAdvice(
  client: Finetuned,
  adviceId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<AdviceObject> {
  const params = { path: { advice_id: adviceId } };
  return unwrap(
    client.http.GET("/v1/fine_tuning/advice/{advice_id}", { params, signal: signal ?? null }),
  );
}

/** Delete an advice. If it is in progress, it ends. */
export async function deleteAdvice(
  client: Finetuned,
  adviceId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const params = { path: { advice_id: adviceId } };
  await client.http.DELETE("/v1/fine_tuning/advice/{advice_id}", {
    params,
    signal: signal ?? null,
  });
}
