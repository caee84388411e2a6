/** Imports of adapters that were trained elsewhere. */

import type { APIClient } from "./core.js";
import { FinetunedError, OperationFailedError } from "./errors.js";
import type { ReturnedBy } from "./promise.js";
import { ModelImports as ImportRoutes } from "./resources.js";
import type { Uploadable } from "./source.js";
import type { UploadOptions } from "./uploads.js";

type CreateModelImport = Parameters<ImportRoutes["create"]>[0];
type ModelImport = ReturnedBy<ImportRoutes["create"]>;

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
export type ImportFields = Omit<CreateModelImport, "file_id">;

export interface ImportOptions extends Omit<UploadOptions, "purpose" | "format"> {
  /** Key by which the service recognizes a repeated import. Default: a new key for each call. */
  idempotencyKey?: string;
}

export class ModelImports extends ImportRoutes {
  /**
   * Upload and import a LoRA adapter that was trained elsewhere, and wait for the model. To import a
   * path on Node, see `importModelPath` in `@finetuned/client/node`.
   *
   * Throws OperationFailedError if the adapter is refused.
   */
  async uploadAndWait(
    source: AdapterSource,
    body: ImportFields,
    { idempotencyKey, ...options }: ImportOptions = {},
  ): Promise<ModelImport> {
    const { signal } = options;
    const file_id =
      typeof source === "string" ? source : await uploaded(this.client, source, options);
    const found = await this.createAndWait({ ...body, file_id }, { idempotencyKey, signal });
    if (!found.error) return found;
    throw new OperationFailedError(
      `The adapter was refused: ${found.error.message}`,
      found.error.code,
    );
  }
}

async function uploaded(
  client: APIClient,
  source: Uploadable | readonly Uploadable[],
  options: UploadOptions,
): Promise<string> {
  const { upload } = await import("./uploads.js"); // with MD5, which only uploads need
  const archive = isFolder(source) ? await packed(source) : source;
  return (await upload(client, archive, { ...options, purpose: "model-import" })).id;
}

function isFolder(source: Uploadable | readonly Uploadable[]): source is readonly Uploadable[] {
  return Array.isArray(source);
}

/** Return the files of an adapter as an archive. */
async function packed(files: readonly Uploadable[]): Promise<Uploadable> {
  const [{ sourceOf }, { tarOf }] = await Promise.all([import("./source.js"), import("./tar.js")]);
  const named = files.map((file) => sourceOf(file, undefined));
  const used = ADAPTER_FILES.flatMap((name) => named.filter((file) => file.name === name));
  if (used.some((file) => file.name === CONFIG)) return tarOf("adapter.tar", "adapter", used);
  throw new FinetunedError(
    `The folder has no ${CONFIG}. Pass the folder that PEFT's save_pretrained wrote.`,
  );
}
