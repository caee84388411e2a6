/** Generations of training rows from documents. */

import { type Finetuned, newIdempotencyKey, postJson, unwrap } from "./client.js";
import { sleep } from "./retry.js";
import type { CreateGeneration, DatasetGeneration } from "./types.js";

const POLL_MS = 1_000;
const UNFINISHED = ["queued", "in_progress", "cancelling"];

export interface GenerateOptions {
  /** Idempotency key, so that a retry by your program does not generate twice. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/**
 * Generate training rows from documents, which are files with the purpose `user_data`.
 * `waitForGeneration` then waits until the generation has ended.
 */
export function generate(
  client: Finetuned,
  body: CreateGeneration,
  { idempotencyKey = newIdempotencyKey(), signal }: GenerateOptions = {},
): Promise<DatasetGeneration> {
  return postJson(client, "/v1/datasets/generate", body, {
    headers: { "idempotency-key": idempotencyKey },
    signal: signal ?? null,
  });
}

/** Retrieve a generation: its status, its counters, and its file once it has ended. */
export function getGeneration(
  client: Finetuned,
  generationId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<DatasetGeneration> {
  const params = { path: { generation_id: generationId } };
  return unwrap(
    client.http.GET("/v1/datasets/generations/{generation_id}", {
      params,
      signal: signal ?? null,
    }),
  );
}

/** Iterate over the generations, newest first. Pages are fetched on demand. */
export async function* listGenerations(
  client: Finetuned,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<DatasetGeneration, void, undefined> {
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/datasets/generations", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

export interface WaitForGenerationOptions {
  /** Called with the generation when its status or its counters change. */
  onProgress?: (generation: DatasetGeneration) => void;
  signal?: AbortSignal;
}

/** Return a generation once it has ended. Check its `status` and `output_file_id`. */
export async function waitForGeneration(
  client: Finetuned,
  generationId: string,
  { onProgress, ...options }: WaitForGenerationOptions = {},
): Promise<DatasetGeneration> {
  let seen = "";
  for (;;) {
    const found = await getGeneration(client, generationId, options);
    const now = JSON.stringify([found.status, found.counts]);
    if (now !== seen) onProgress?.(found);
    if (!UNFINISHED.includes(found.status)) return found;
    seen = now;
    await sleep(POLL_MS, options.signal ?? null);
  }
}

/** Cancel a generation. Its rows so far are kept. Throws ConflictError if it has ended. */
export function cancelGeneration(
  client: Finetuned,
  generationId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<DatasetGeneration> {
  const params = { path: { generation_id: generationId } };
  return unwrap(
    client.http.POST("/v1/datasets/generations/{generation_id}/cancel", {
      params,
      signal: signal ?? null,
    }),
  );
}

/** Delete a generation that has ended. Its file is kept. */
export async function deleteGeneration(
  client: Finetuned,
  generationId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const params = { path: { generation_id: generationId } };
  await client.http.DELETE("/v1/datasets/generations/{generation_id}", {
    params,
    signal: signal ?? null,
  });
}
