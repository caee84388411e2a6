/** Previews, data reports, comparisons, cleanings and merges. The service creates them in the background. */

import { type Finetuned, newIdempotencyKey, unwrap } from "./client.js";
import { TaskError } from "./errors.js";
import { retryAfterMs, sleep } from "./retry.js";
import type {
  CleaningObject,
  CleanRequest,
  DiffRowObject,
  DiffRowPage,
  DiffRowQuery,
  FileDiff,
  FilePreview,
  FileReport,
  FormatFields,
  MergeObject,
  MergeRequest,
  ReportQuery,
  RowObject,
  RowPage,
  RowQuery,
} from "./types.js";

const POLL_MS = 1_000;

/** Abort signal; `AbortSignal.timeout(…)` sets a time limit. */
export interface WaitOptions {
  signal?: AbortSignal;
}

/** Options of a preview. `format` replaces the options given at upload. */
export interface PreviewOptions extends WaitOptions {
  format?: FormatFields;
  limit?: number;
}

/**
 * Return the first rows of a file as they are read, and the format options that it allows. Works
 * for files that cannot be used, too. Waits until the preview is ready.
 */
export async function preview(
  client: Finetuned,
  fileId: string,
  { signal, ...options }: PreviewOptions = {},
): Promise<FilePreview> {
  for (;;) {
    const { data, response } = await client.http.POST("/v1/files/preview", {
      body: { file_id: fileId, ...options },
      signal: signal ?? null,
    });
    if (response.status !== 202) return data as FilePreview;
    await sleep(retryAfterMs(response.headers.get("retry-after")) ?? POLL_MS, signal ?? null);
  }
}

/** Return a file's report: statistics, findings and advice. Waits until it is ready. */
export async function report(
  client: Finetuned,
  fileId: string,
  query: ReportQuery = {},
  { signal }: WaitOptions = {},
): Promise<FileReport> {
  const params = { path: { file_id: fileId }, query };
  for (;;) {
    const { data, response } = await client.http.GET("/v1/files/{file_id}/report", {
      params,
      signal: signal ?? null,
    });
    if (response.status !== 202) return data as FileReport;
    await sleep(retryAfterMs(response.headers.get("retry-after")) ?? POLL_MS, signal ?? null);
  }
}

/**
 * Iterate over the rows of a file, with what the report found in them. Waits until it is ready.
 *
 * `query.issue` is the code of a finding that the rows have, and `query.max_score` their highest
 * score. `query.sort: "score"` begins with the lowest scores.
 */
export async function* rows(
  client: Finetuned,
  fileId: string,
  query: RowQuery = {},
  { signal }: WaitOptions = {},
): AsyncGenerator<RowObject, void, undefined> {
  const path = { file_id: fileId };
  let after: string | undefined;
  for (;;) {
    const { data, response } = await client.http.GET("/v1/files/{file_id}/rows", {
      params: { path, query: { limit: 100, ...query, ...(after ? { after } : {}) } },
      signal: signal ?? null,
    });
    if (response.status === 202) {
      await sleep(retryAfterMs(response.headers.get("retry-after")) ?? POLL_MS, signal ?? null);
      continue;
    }
    const page = data as RowPage;
    yield* page.data;
    if (!page.has_more || !page.last_id) return;
    after = page.last_id;
  }
}

/**
 * Compare a file with a later one: rows that differ, and what shifts. Waits until it is ready.
 *
 * Broken rows of the first file are left out; the second must be usable for training.
 */
export async function diff(
  client: Finetuned,
  fileId: string,
  otherFile: string,
  { signal }: WaitOptions = {},
): Promise<FileDiff> {
  for (;;) {
    const { data, response } = await client.http.GET("/v1/files/{file_id}/diff", {
      params: { path: { file_id: fileId }, query: { other_file: otherFile } },
      signal: signal ?? null,
    });
    if (response.status !== 202) return data as FileDiff;
    await sleep(retryAfterMs(response.headers.get("retry-after")) ?? POLL_MS, signal ?? null);
  }
}

/**
 * Iterate over the rows that differ between a file and a later one. Waits until they are ready.
 *
 * Changed rows come first, then removed ones, then added ones.
 */
export async function* diffRows(
  client: Finetuned,
  fileId: string,
  otherFile: string,
  query: DiffRowQuery = {},
  { signal }: WaitOptions = {},
): AsyncGenerator<DiffRowObject, void, undefined> {
  const path = { file_id: fileId };
  let after: string | undefined;
  for (;;) {
    const { data, response } = await client.http.GET("/v1/files/{file_id}/diff/rows", {
      params: {
        path,
        query: { limit: 100, ...query, other_file: otherFile, ...(after ? { after } : {}) },
      },
      signal: signal ?? null,
    });
    if (response.status === 202) {
      await sleep(retryAfterMs(response.headers.get("retry-after")) ?? POLL_MS, signal ?? null);
      continue;
    }
    const page = data as DiffRowPage;
    yield* page.data;
    if (!page.has_more || !page.last_id) return;
    after = page.last_id;
  }
}

/** Clean a file into new files and return their ids. Waits until they are ready. */
export async function clean(
  client: Finetuned,
  fileId: string,
  body: CleanRequest = {},
  { signal, idempotencyKey = newIdempotencyKey() }: WaitOptions & { idempotencyKey?: string } = {},
): Promise<CleaningObject> {
  const path = { file_id: fileId };
  let cleaning = await unwrap(
    client.http.POST("/v1/files/{file_id}/clean", {
      params: { path, header: { "idempotency-key": idempotencyKey } },
      body,
      signal: signal ?? null,
    }),
  );
  while (cleaning.status === "in_progress") {
    await sleep(POLL_MS, signal ?? null);
    cleaning = await unwrap(
      client.http.GET("/v1/files/{file_id}/clean/{cleaning_id}", {
        params: { path: { ...path, cleaning_id: cleaning.id } },
        signal: signal ?? null,
      }),
    );
  }
  if (cleaning.error) {
    throw new TaskError(`The cleaning failed: ${cleaning.error.message}`, cleaning.error.code);
  }
  return cleaning;
}

/** Merge files into a new file and return its id. Waits until it is ready. */
export async function merge(
  client: Finetuned,
  body: MergeRequest,
  { signal, idempotencyKey = newIdempotencyKey() }: WaitOptions & { idempotencyKey?: string } = {},
): Promise<MergeObject> {
  let merged = await unwrap(
    client.http.POST("/v1/files/merge", {
      params: { header: { "idempotency-key": idempotencyKey } },
      body,
      signal: signal ?? null,
    }),
  );
  while (merged.status === "in_progress") {
    await sleep(POLL_MS, signal ?? null);
    merged = await unwrap(
      client.http.GET("/v1/files/{file_id}/merges/{merge_id}", {
        params: { path: { file_id: merged.file_id, merge_id: merged.id } },
        signal: signal ?? null,
      }),
    );
  }
  if (merged.error) {
    throw new TaskError(`The merge failed: ${merged.error.message}`, merged.error.code);
  }
  return merged;
}
