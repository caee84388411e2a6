/** Imports of adapters that were trained elsewhere. */

import { type Finetuned, newIdempotencyKey, postJson, unwrap } from "./client.js";
import { FinetunedError, TaskError } from "./errors.js";
import { sleep } from "./retry.js";
import { sourceOf, type Uploadable } from "./source.js";
import { tarOf } from "./tar.js";
import type { CreateModelImport, ModelImport } from "./types.js";
import { type UploadOptions, upload } from "./uploads.js";

const POLL_MS = 500;
const CONFIG = "adapter_config.json";
/** What the service reads of an adapter's folder. */
export const ADAPTER_FILES: readonly string[] = [
  CONFIG,
  "adapter_model.safetensors",
  "README.md",
  "tokenizer.json",
  "tokenizer_config.json",
  "chat_template.jinja",
];

/** An archive, the files of an adapter's folder, or the id of an uploaded archive. */
export type AdapterSource = Uploadable | readonly Uploadable[] | string;

/** The base model, and a suffix for the new model's name. */
export type ImportFields = Omit<CreateModelImport, "file">;

export interface ImportOptions extends Omit<UploadOptions, "purpose" | "format"> {
  /** Idempotency key, so that a retry by your program does not import twice. */
  idempotencyKey?: string;
}

/**
 * Import a LoRA adapter that was trained elsewhere, and wait for the model. To import a path on
 * Node, see `importModelPath` in `@finetuned/client/node`.
 *
 * Throws TaskError if the adapter is refused.
 */
export async function importModel(
  client: Finetuned,
  source: AdapterSource,
  body: ImportFields,
  { idempotencyKey = newIdempotencyKey(), ...options }: ImportOptions = {},
): Promise<ModelImport> {
  const signal = options.signal ?? null;
  const file = typeof source === "string" ? source : await uploaded(client, source, options);
  let found = await postJson<ModelImport>(
    client,
    "/v1/models/import",
    { ...body, file },
    { headers: { "idempotency-key": idempotencyKey }, signal },
  );
  while (found.status === "in_progress") {
    await sleep(POLL_MS, signal);
    found = await getImport(client, file, found.id, options);
  }
  if (found.error) {
    throw new TaskError(`The adapter was refused: ${found.error.message}`, found.error.code);
  }
  return found;
}

/** Retrieve an import of an archive: its status, and its model if it is completed. */
export function getImport(
  client: Finetuned,
  fileId: string,
  importId: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<ModelImport> {
  const params = { path: { file_id: fileId, import_id: importId } };
  return unwrap(
    client.http.GET("/v1/files/{file_id}/imports/{import_id}", { params, signal: signal ?? null }),
  );
}

/** Iterate over the imports of an archive, newest first. Pages are fetched on demand. */
export async function* listImports(
  client: Finetuned,
  fileId: string,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<ModelImport, void, undefined> {
  const path = { file_id: fileId };
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/files/{file_id}/imports", {
        params: { path, query },
        signal: signal ?? null,
      }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

async function uploaded(
  client: Finetuned,
  source: Uploadable | readonly Uploadable[],
  options: UploadOptions,
): Promise<string> {
  const archive = isFolder(source) ? packed(source) : source;
  return (await upload(client, archive, { ...options, purpose: "model-import" })).id;
}

function isFolder(source: Uploadable | readonly Uploadable[]): source is readonly Uploadable[] {
  return Array.isArray(source);
}

/** Return the files of an adapter as an archive. */
function packed(files: readonly Uploadable[]): Uploadable {
  const named = files.map((file) => sourceOf(file, undefined));
  const used = ADAPTER_FILES.flatMap((name) => named.filter((file) => file.name === name));
  if (used.some((file) => file.name === CONFIG)) return tarOf("adapter.tar", "adapter", used);
  throw new FinetunedError(
    `The folder has no ${CONFIG}. Pass the folder that PEFT's save_pretrained wrote.`,
  );
}
