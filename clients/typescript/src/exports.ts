/** Exports of trained models for other software. */

import { type Finetuned, newIdempotencyKey, postJson, unwrap } from "./client.js";
import { ConnectionError, DownloadError } from "./errors.js";
import type { Digest } from "./md5.js";
import { sleep } from "./retry.js";
import { newSha256 } from "./sha256.js";
import { bodyOf, type PatienceOptions, resumed } from "./streams.js";
import type { CreateExport, ExportObject } from "./types.js";

const POLL_MS = 1_000;
const UNFINISHED = ["queued", "in_progress"];

export interface CreateExportOptions {
  /** Idempotency key, so that a retry by your program does not create a second export. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** Export a trained model. `waitForExport` then waits until the export has ended. */
export function createExport(
  client: Finetuned,
  body: CreateExport,
  { idempotencyKey = newIdempotencyKey(), signal }: CreateExportOptions = {},
): Promise<ExportObject> {
  return postJson(client, "/v1/exports", body, {
    headers: { "idempotency-key": idempotencyKey },
    signal: signal ?? null,
  });
}

/** Retrieve an export: its status, progress and proof. */
export function getExport(
  client: Finetuned,
  exportId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<ExportObject> {
  const params = { path: { export_id: exportId } };
  return unwrap(client.http.GET("/v1/exports/{export_id}", { params, signal: signal ?? null }));
}

/** Iterate over the exports, newest first; `model` filters. Pages are fetched on demand. */
export async function* listExports(
  client: Finetuned,
  { model, signal }: { model?: string; signal?: AbortSignal } = {},
): AsyncGenerator<ExportObject, void, undefined> {
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(model ? { model } : {}), ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/exports", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

export interface WaitForExportOptions {
  /** Called with the export when its status or its step changes. */
  onChange?: (export_: ExportObject) => void;
  signal?: AbortSignal;
}

/** Return an export once it has ended. Check its `status`. */
export async function waitForExport(
  client: Finetuned,
  exportId: string,
  { onChange, ...options }: WaitForExportOptions = {},
): Promise<ExportObject> {
  let seen = "";
  for (;;) {
    const found = await getExport(client, exportId, options);
    const now = `${found.status} ${found.progress?.step}`;
    if (now !== seen) onChange?.(found);
    if (!UNFINISHED.includes(found.status)) return found;
    seen = now;
    await sleep(POLL_MS, options.signal ?? null);
  }
}

/** Cancel an export. Throws ConflictError if it has ended. */
export function cancelExport(
  client: Finetuned,
  exportId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<ExportObject> {
  const params = { path: { export_id: exportId } };
  return unwrap(
    client.http.POST("/v1/exports/{export_id}/cancel", { params, signal: signal ?? null }),
  );
}

/** Delete an export with its archive. */
export async function deleteExport(
  client: Finetuned,
  exportId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const params = { path: { export_id: exportId } };
  await client.http.DELETE("/v1/exports/{export_id}", { params, signal: signal ?? null });
}

export interface DownloadOptions extends PatienceOptions {
  /** Called before the first byte and after each chunk. */
  onProgress?: (progress: { receivedBytes: number; totalBytes: number }) => void;
}

/**
 * Yield the bytes of an export, a tar archive, as they arrive. To save them on Node, see
 * `downloadExport` in `@finetuned/client/node`.
 *
 * A broken connection is resumed after the last byte. At the end, the SHA-256 of all bytes is
 * checked: do not use them before. Throws DownloadError if it differs, and ConflictError if the
 * export has not succeeded.
 */
export async function* exportContent(
  client: Finetuned,
  exportId: string,
  { onProgress, digest = newSha256(), ...options }: DownloadOptions & { digest?: Digest } = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const { signal } = options;
  const found = await getExport(client, exportId, signal ? { signal } : {});
  const totalBytes = found.bytes ?? 0;
  let receivedBytes = 0;
  onProgress?.({ receivedBytes, totalBytes });
  const rest = () => contentFrom(client, exportId, receivedBytes, totalBytes, signal);
  for await (const chunk of resumed(rest, options)) {
    receivedBytes += chunk.length;
    digest.update(chunk);
    onProgress?.({ receivedBytes, totalBytes });
    yield chunk;
  }
  if (digest.hex() === found.sha256) return;
  throw new DownloadError(
    "The downloaded bytes differ from those of the service. Download them again.",
  );
}

/** Yield the bytes of one connection, from the byte at `start`. */
async function* contentFrom(
  client: Finetuned,
  exportId: string,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  if (start > 0 && start >= end) return; // the connection broke after the last byte
  const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
  const onResponse = ({ status }: Response) => {
    if (start === 0 || status === 206) return;
    throw new DownloadError(
      "The download was interrupted and cannot be resumed: a proxy ignores Range. Download the " +
        "export again.",
    );
  };
  const path = `/v1/exports/${encodeURIComponent(exportId)}/content`;
  let received = start;
  for await (const chunk of bodyOf(client, path, {
    name: "download",
    headers,
    onResponse,
    signal,
  })) {
    received += chunk.length;
    yield chunk;
  }
  if (received < end) throw new ConnectionError("The download ended before the archive did.");
}
