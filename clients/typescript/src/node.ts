/** Node-only functions: uploads and imports from a path, and downloads to one. */

import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Finetuned } from "./client.js";
import { FinetunedError } from "./errors.js";
import type { DownloadOptions } from "./exports.js";
import { ADAPTER_FILES, type ImportFields, type ImportOptions } from "./imports.js";
import type { Digest } from "./md5.js";
import type { UploadSource } from "./source.js";
import type { UploadOptions } from "./uploads.js";

/** Upload the file at a path in parts. Throws FinetunedError if the file cannot be read. */
export async function uploadPath(
  client: Finetuned,
  path: string,
  options: UploadOptions = {},
): ReturnType<Finetuned["files"]["upload"]> {
  const handle = await opened(path);
  try {
    return await client.files.upload(await sourceOf(handle, basename(path)), options);
  } finally {
    await handle.close();
  }
}

/**
 * Import the adapter at a path, and wait for the model: the folder that PEFT's `save_pretrained`
 * wrote, or a tar or zip archive of it. Throws OperationFailedError if the adapter is refused.
 */
export async function importModelPath(
  client: Finetuned,
  path: string,
  body: ImportFields,
  options: ImportOptions = {},
): ReturnType<Finetuned["modelImports"]["uploadAndWait"]> {
  const isFolder = (await readable(path, stat)).isDirectory();
  const found = isFolder
    ? (await readdir(path)).filter((name) => ADAPTER_FILES.includes(name))
    : [];
  const handles: FileHandle[] = [];
  const added = async (file: string) => {
    const handle = await opened(file);
    handles.push(handle);
    return sourceOf(handle, basename(file));
  };
  try {
    const source = isFolder
      ? await Promise.all(found.map((name) => added(join(path, name))))
      : await added(path);
    return await client.modelImports.uploadAndWait(source, body, options);
  } finally {
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

/**
 * Download an export to a file, a tar archive, and check its digest.
 *
 * A broken connection is resumed. The file appears when it is complete.
 */
export async function downloadExport(
  client: Finetuned,
  exportId: string,
  path: string,
  options: DownloadOptions = {},
): Promise<void> {
  const partial = `${path}.${randomUUID()}.part`;
  const content = client.modelExports.stream(exportId, { ...options, digest: digestOf("sha256") });
  try {
    const handle = await open(partial, "wx");
    try {
      for await (const chunk of content) await handle.writeFile(chunk);
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

async function sourceOf(handle: FileHandle, name: string): Promise<UploadSource> {
  return {
    name,
    size: (await handle.stat()).size,
    type: "",
    read: (start, end) => read(handle, start, end),
    md5: () => digestOf("md5"),
  };
}

function digestOf(algorithm: "md5" | "sha256"): Digest {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

/** Read until the end: a read may return less than requested; only 0 bytes mean the end. */
async function read(
  handle: FileHandle,
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - start);
  let filled = 0;
  while (filled < bytes.length) {
    const left = bytes.length - filled;
    const { bytesRead } = await handle.read(bytes, filled, left, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

function opened(path: string): Promise<FileHandle> {
  return readable(path, open);
}

async function readable<T>(path: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new FinetunedError(`Cannot read ${path}: ${reason}.`, { cause });
  }
}
