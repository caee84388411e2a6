/** Erasures of rows by their text, and signed receipts of deletions. */

import { type Finetuned, unwrap } from "./client.js";
import { sleep } from "./retry.js";
import type { CreateErasure, ErasureObject, ErasureReceiptObject } from "./types.js";

const POLL_MS = 500;

export interface ErasureOptions {
  signal?: AbortSignal;
}

/**
 * Find the rows with a text in all files of the project. `waitForErasure` then waits until the
 * files are searched.
 *
 * `apply` replaces each file by one without the rows, and `cascade` also deletes the models
 * trained on it.
 */
export function createErasure(
  client: Finetuned,
  body: CreateErasure,
  { signal }: ErasureOptions = {},
): Promise<ErasureObject> {
  return unwrap(client.http.POST("/v1/organization/erasure", { body, signal: signal ?? null }));
}

/** Retrieve an erasure: the files, lines and models that it found, and what it did. */
export function getErasure(
  client: Finetuned,
  erasureId: string,
  { signal }: ErasureOptions = {},
): Promise<ErasureObject> {
  const params = { path: { erasure_id: erasureId } };
  return unwrap(
    client.http.GET("/v1/organization/erasure/{erasure_id}", { params, signal: signal ?? null }),
  );
}

/** Return an erasure once it has ended. Check its `status`. */
export async function waitForErasure(
  client: Finetuned,
  erasureId: string,
  options: ErasureOptions = {},
): Promise<ErasureObject> {
  for (;;) {
    const found = await getErasure(client, erasureId, options);
    if (found.status !== "in_progress") return found;
    await sleep(POLL_MS, options.signal ?? null);
  }
}

export interface ListReceiptsOptions extends ErasureOptions {
  /** Only the receipts of this file or model. */
  subjectId?: string;
}

/** Iterate over the receipts of deleted files and models, newest first. */
export async function* listErasureReceipts(
  client: Finetuned,
  { subjectId, signal }: ListReceiptsOptions = {},
): AsyncGenerator<ErasureReceiptObject, void, undefined> {
  const filter = subjectId === undefined ? {} : { subject_id: subjectId };
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...filter, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/erasure_receipts", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

/** Retrieve a receipt. `finetuned-server erasure verify` checks its signature. */
export function getErasureReceipt(
  client: Finetuned,
  receiptId: string,
  { signal }: ErasureOptions = {},
): Promise<ErasureReceiptObject> {
  const params = { path: { receipt_id: receiptId } };
  return unwrap(
    client.http.GET("/v1/erasure_receipts/{receipt_id}", { params, signal: signal ?? null }),
  );
}
