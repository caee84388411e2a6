/** Previews, data reports, comparisons, cleanings and merges, which functions wait for. */

import { type APIClient, path } from "./core.js";
import { OperationFailedError } from "./errors.js";
import type {
  FilesDiffRowsListParams,
  FilesReportParams,
  FilesRowsListParams,
} from "./resources.js";
import { retryAfterMs, sleep } from "./retry.js";
import type {
  CleaningObject,
  CleanRequest,
  DiffRowObject,
  FileDiff,
  FilePreview,
  FileReport,
  FormatFields,
  MergeObject,
  MergeRequest,
  RowObject,
} from "./types.js";
import { waitFor } from "./wait.js";

const POLL_MS = 1_000;

export interface SignalOptions {
  signal?: AbortSignal;
}

/** Options of a preview. `format` replaces the options given at upload. */
export interface PreviewOptions extends SignalOptions {
  format?: FormatFields;
  limit?: number;
}

/** Return the first rows of a file as they are read, and the format options that it allows. */
export function preview(
  client: APIClient,
  fileId: string,
  { signal, ...options }: PreviewOptions = {},
): Promise<FilePreview> {
  const body = { file_id: fileId, ...options };
  return ready(() => client.post("/files/preview", { body, signal }).asResponse(), signal);
}

/** Return a file's report: statistics, findings and advice. */
export function report(
  client: APIClient,
  fileId: string,
  query: FilesReportParams = {},
  { signal }: SignalOptions = {},
): Promise<FileReport> {
  const request = { query, signal };
  return ready(() => client.get(path`/files/${fileId}/report`, request).asResponse(), signal);
}

/** Iterate over the rows of a file, with what the report found in them. */
export async function* rows(
  client: APIClient,
  fileId: string,
  query: FilesRowsListParams = {},
  options: SignalOptions = {},
): AsyncGenerator<RowObject, void, undefined> {
  yield* pages<RowObject>(client, path`/files/${fileId}/rows`, query, options);
}

/** Compare a file with a later one: rows that differ, and what shifts. */
export function diff(
  client: APIClient,
  fileId: string,
  otherFile: string,
  { signal }: SignalOptions = {},
): Promise<FileDiff> {
  const request = { query: { other_file: otherFile }, signal };
  return ready(() => client.get(path`/files/${fileId}/diff`, request).asResponse(), signal);
}

/** Iterate over the rows that differ between a file and a later one. */
export async function* diffRows(
  client: APIClient,
  fileId: string,
  query: FilesDiffRowsListParams,
  options: SignalOptions = {},
): AsyncGenerator<DiffRowObject, void, undefined> {
  yield* pages<DiffRowObject>(client, path`/files/${fileId}/diff/rows`, query, options);
}

/** Clean a file into new files and return their ids. */
export async function clean(
  client: APIClient,
  fileId: string,
  body: CleanRequest = {},
  { signal }: SignalOptions = {},
): Promise<CleaningObject> {
  const cleanings = path`/files/${fileId}/clean`;
  const { id } = await client.post<CleaningObject>(cleanings, { body, signal, repeatable: true });
  const done = await waitFor(
    (request) => client.get<CleaningObject>(`${cleanings}${path`/${id}`}`, request),
    { signal },
  );
  if (done.error) throw new OperationFailedError(done.error.message, done.error.code);
  return done;
}

/** Merge files into a new file and return its id. */
export async function merge(
  client: APIClient,
  body: MergeRequest,
  { signal }: SignalOptions = {},
): Promise<MergeObject> {
  const options = { body, signal, repeatable: true };
  const { id, file_id } = await client.post<MergeObject>("/files/merge", options);
  const done = await waitFor(
    (request) => client.get<MergeObject>(path`/files/${file_id}/merges/${id}`, request),
    { signal },
  );
  if (done.error) throw new OperationFailedError(done.error.message, done.error.code);
  return done;
}

async function ready<T>(request: () => Promise<Response>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    const response = await request();
    if (response.status !== 202) return response.json();
    await sleep(retryAfterMs(response.headers) ?? POLL_MS, signal);
  }
}

async function* pages<T>(
  client: APIClient,
  path: string,
  query: object,
  { signal }: SignalOptions,
): AsyncGenerator<T, void, undefined> {
  type Body = { data: T[]; has_more: boolean; last_id?: string | null };
  for (let after: string | null | undefined; ; ) {
    const asked = { query: { limit: 100, ...query, after }, signal };
    const page: Body = await ready(() => client.get(path, asked).asResponse(), signal);
    yield* page.data;
    after = page.last_id;
    if (!page.has_more || !after) return;
  }
}
