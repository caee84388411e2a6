/** Multipart uploads: parallel, verified by MD5, and resumable after any failure. */

import { type APIClient, path } from "./core.js";
import { APIUserAbortError, UploadError } from "./errors.js";
import type { ReturnedBy } from "./promise.js";
import type { Files, Uploads, UploadsParts } from "./resources.js";
import { digestFor, sourceOf, type Uploadable, type UploadSource } from "./source.js";

type FileObject = ReturnedBy<Files["retrieve"]>;
type CreateUpload = Parameters<Uploads["create"]>[0];
type Upload = ReturnedBy<Uploads["retrieve"]>;
type UploadPart = ReturnedBy<UploadsParts["create"]>;

const MIB = 1024 * 1024;
const PART_BYTES = 8 * MIB;
const MAX_PARTS = 10_000;
/** Sending a part over a slow connection and joining many parts take longer than usual. */
const TIMEOUT_MS = 600_000;

export interface UploadProgress {
  /** Upload id, to pass as `resume`. */
  uploadId: string;
  /** Bytes of the file that have arrived. */
  sentBytes: number;
  totalBytes: number;
}

export interface UploadOptions {
  /** Default: `fine-tune`, for which the service validates the rows. */
  purpose?: "fine-tune" | "evals" | "batch" | "user_data" | "model-import";
  /** File name. Default: the file's own name. */
  filename?: string;
  /** Format of the rows, if it cannot be detected. */
  format?: NonNullable<CreateUpload["format"]>;
  /** Seconds after which the file is deleted. */
  expiresAfterSeconds?: number;
  /** Id of an interrupted upload; parts that have arrived are not sent again. */
  resume?: string;
  /** Part size. Default: 8 MiB. Must be unchanged to resume. */
  partBytes?: number;
  /** Number of parts sent in parallel. Default: 4. */
  parallel?: number;
  /** Called when the upload is created and after each part. */
  onProgress?: (progress: UploadProgress) => void;
  /** Aborts the upload, which can then be resumed for an hour. */
  signal?: AbortSignal;
}

/** Upload a Blob or a File. */
export async function upload(
  client: APIClient,
  file: Uploadable,
  options: UploadOptions = {},
): Promise<FileObject> {
  const source = sourceOf(file, options.filename);
  if (source.size === 0) throw new UploadError(`${source.name} is empty.`);
  const begun = await begin(client, source, options);
  if (begun.file) return begun.file; // the resumed upload was already complete
  const arrived = options.resume ? await listParts(client, begun.id, options) : [];
  try {
    return await new Sending(client, source, begun.id, arrived, options).run();
  } catch (error) {
    if (options.signal?.aborted) throw new APIUserAbortError(options.signal);
    const why = error instanceof Error ? error.message : String(error);
    throw new UploadError(`${why} To resume within an hour, pass resume: "${begun.id}".`, {
      cause: error,
      uploadId: begun.id,
    });
  }
}

async function begin(
  client: APIClient,
  source: UploadSource,
  options: UploadOptions,
): Promise<Upload> {
  const { signal } = options;
  if (options.resume === undefined) {
    const { expiresAfterSeconds: seconds, format } = options;
    const body = {
      filename: source.name,
      purpose: options.purpose ?? "fine-tune",
      bytes: source.size,
      mime_type: source.type || "application/octet-stream",
      ...(seconds === undefined ? {} : { expires_after: { anchor: "created_at", seconds } }),
      ...(format === undefined ? {} : { format }),
    };
    return client.post<Upload>("/uploads", { body, signal });
  }
  const found = await client.get<Upload>(path`/uploads/${options.resume}`, { signal });
  if (found.bytes !== source.size) {
    const sizes = `${found.bytes} bytes, but ${source.name} has ${source.size}`;
    throw new UploadError(`The upload ${found.id} is for a file of ${sizes}. Start a new one.`);
  }
  if (found.status !== "pending" && !found.file) {
    throw new UploadError(`The upload ${found.id} is ${found.status}. Start a new one.`);
  }
  return found;
}

async function listParts(
  client: APIClient,
  uploadId: string,
  { signal }: UploadOptions,
): Promise<UploadPart[]> {
  const parts = client.get<{ data: UploadPart[] }>(path`/uploads/${uploadId}/parts`, {
    signal,
  });
  return (await parts).data;
}

/** One pass over the file: parts are read in order, sent in parallel, ordered at the end. */
class Sending {
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  readonly #partIds: string[] = [];
  readonly #arrived = new Map<string, string[]>();
  #sentBytes = 0;

  constructor(
    readonly client: APIClient,
    readonly source: UploadSource,
    readonly uploadId: string,
    arrived: UploadPart[],
    readonly options: UploadOptions,
  ) {
    const { signal } = options;
    const stop = () => this.#stop.abort();
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    for (const part of arrived) {
      const same = this.#arrived.get(nameOf(part.md5, part.bytes)) ?? [];
      this.#arrived.set(nameOf(part.md5, part.bytes), [...same, part.id]);
    }
  }

  async run(): Promise<FileObject> {
    try {
      const md5 = await this.#sendAll();
      return await this.#complete(md5);
    } finally {
      this.#stop.abort();
      await Promise.allSettled(this.#underWay);
    }
  }

  async #sendAll(): Promise<string> {
    const { source, options } = this;
    const whole = digestFor(source);
    const step = options.partBytes ?? Math.max(PART_BYTES, Math.ceil(source.size / MAX_PARTS));
    this.#reportProgress(0);
    for (let start = 0, index = 0; start < source.size; start += step, index++) {
      while (this.#underWay.size >= (options.parallel ?? 4)) await Promise.race(this.#underWay);
      if (this.#stop.signal.aborted) throw new APIUserAbortError(this.options.signal);
      const bytes = await this.#read(start, Math.min(start + step, source.size));
      whole.update(bytes);
      this.#begin(index, bytes);
    }
    await Promise.all(this.#underWay);
    return whole.hex();
  }

  async #read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.source.read(start, end);
    if (bytes.length === end - start) return bytes;
    throw new UploadError(`${this.source.name} became shorter during the upload.`);
  }

  /** Send a part unless it has already arrived. Parts are identified by MD5 and size. */
  #begin(index: number, bytes: Uint8Array<ArrayBuffer>): void {
    const digest = digestFor(this.source);
    digest.update(bytes);
    const md5 = digest.hex();
    const known = this.#arrived.get(nameOf(md5, bytes.length))?.shift();
    if (known !== undefined) {
      this.#partIds[index] = known;
      this.#reportProgress(bytes.length);
      return;
    }
    const sent: Promise<void> = this.#send(index, bytes, md5).then(() => {
      this.#underWay.delete(sent); // a failed part stays, so that the loop sees its error
    });
    sent.catch(() => undefined);
    this.#underWay.add(sent);
  }

  async #send(index: number, bytes: Uint8Array<ArrayBuffer>, md5: string): Promise<void> {
    const parts = path`/uploads/${this.uploadId}/parts`;
    const part = await this.client.post<UploadPart>(parts, {
      body: bytes,
      signal: this.#stop.signal,
      timeout: TIMEOUT_MS,
      repeatable: true, // a duplicate part is omitted at the end
    });
    if (part.md5 !== md5) throw new UploadError(`Part ${index + 1} was damaged in transit.`);
    this.#partIds[index] = part.id;
    this.#reportProgress(bytes.length);
  }

  async #complete(md5: string): Promise<FileObject> {
    const { file } = await this.client.post<Upload>(path`/uploads/${this.uploadId}/complete`, {
      body: { part_ids: this.#partIds, md5 },
      signal: this.#stop.signal,
      timeout: TIMEOUT_MS,
      repeatable: true, // the same parts get the same response
    });
    if (file) return file;
    throw new UploadError("The upload was completed before, and its file is deleted.");
  }

  #reportProgress(moreBytes: number): void {
    this.#sentBytes += moreBytes;
    this.options.onProgress?.({
      uploadId: this.uploadId,
      sentBytes: this.#sentBytes,
      totalBytes: this.source.size,
    });
  }
}

function nameOf(md5: string, bytes: number): string {
  return `${md5}-${bytes}`;
}
