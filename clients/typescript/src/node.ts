/** Node-only functions: uploads from a path. */

import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import type { Finetuned } from "./client.js";
import type { UploadSource } from "./source.js";
import type { FileObject } from "./types.js";
import { type UploadOptions, upload } from "./uploads.js";

/** Upload the file at a path in parts. */
export async function uploadPath(
  client: Finetuned,
  path: string,
  options: UploadOptions = {},
): Promise<FileObject> {
  const handle = await open(path);
  try {
    return await upload(client, await sourceOf(handle, basename(path)), options);
  } finally {
    await handle.close();
  }
}

async function sourceOf(handle: FileHandle, name: string): Promise<UploadSource> {
  return {
    name,
    size: (await handle.stat()).size,
    type: "",
    read: (start, end) => read(handle, start, end),
    md5: () => {
      const hash = createHash("md5");
      return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
    },
  };
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
