/** Exports of trained models: what the generated methods lack. */

import { type APIClient, path } from "./core.js";
import { APIConnectionError, DownloadError } from "./errors.js";
import type { Digest } from "./md5.js";
import { ModelExports as ExportRoutes } from "./resources.js";
import { bodyOf, type PatienceOptions, resumed } from "./streams.js";

export interface DownloadOptions extends PatienceOptions {
  /** Called before the first byte and after each chunk. */
  onProgress?: (progress: { receivedBytes: number; totalBytes: number }) => void;
  /** Digest of the bytes. Default: SHA-256 in JavaScript. */
  digest?: Digest;
}

export class ModelExports extends ExportRoutes {
  /**
   * Yield the bytes of an export, a tar archive, as they arrive. To save them on Node, see
   * `downloadExport` in `@finetuned/client/node`.
   *
   * A broken connection is resumed after the last byte. At the end, the SHA-256 of all bytes is
   * checked: do not use them before. Throws DownloadError if it differs, and ConflictError if the
   * export is not completed.
   */
  async *stream(
    exportId: string,
    { onProgress, ...options }: DownloadOptions = {},
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
    const { signal } = options;
    const digest = options.digest ?? (await import("./sha256.js")).newSha256();
    const { result } = await this.retrieve(exportId, {}, { signal });
    const totalBytes = result?.bytes ?? 0;
    let receivedBytes = 0;
    onProgress?.({ receivedBytes, totalBytes });
    const rest = () => bytesFrom(this.client, exportId, receivedBytes, totalBytes, signal);
    for await (const chunk of resumed(rest, options)) {
      receivedBytes += chunk.length;
      digest.update(chunk);
      onProgress?.({ receivedBytes, totalBytes });
      yield chunk;
    }
    if (digest.hex() === result?.sha256) return;
    throw new DownloadError(
      "The downloaded bytes differ from those of the service. Download them again.",
    );
  }
}

/** Yield the bytes of one connection, from the byte at `start`. */
async function* bytesFrom(
  client: APIClient,
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
  let received = start;
  for await (const chunk of bodyOf(client, path`/model_exports/${exportId}/content`, {
    name: "download",
    headers,
    onResponse,
    signal,
  })) {
    received += chunk.length;
    yield chunk;
  }
  if (received < end) {
    throw new APIConnectionError("The download ended before the archive did.");
  }
}
