/**
 * Uploads of this browser. They go on while other pages are shown. The identity of each is stored, so that it
 * can be resumed after a reload: the content never is, so the person chooses the file again.
 */

import { client, faultOf, type Fault } from "#lib/api.ts";
import { connection } from "#lib/connection.svelte.ts";
import { readDraft, writeDraft } from "#lib/drafts.ts";

export const PURPOSES = ["fine-tune", "user_data", "evals", "batch"] as const;
export type UploadPurpose = (typeof PURPOSES)[number];

/** `reselect`: the page was reloaded, and the file must be chosen again. */
export type UploadState = "sending" | "paused" | "failed" | "reselect" | "sent";

export interface UploadEntry {
  key: string;
  name: string;
  size: number;
  modified: number;
  purpose: UploadPurpose;
  state: UploadState;
  sentBytes: number;
  /** Null until the service knows the upload. */
  uploadId: string | null;
  /** Unix seconds until which it can be resumed. */
  expiresAt: number | null;
  /** The file that it became. */
  fileId: string | null;
  fault: Fault | null;
}

type Stored = Pick<
  UploadEntry,
  "name" | "size" | "modified" | "purpose" | "uploadId" | "expiresAt"
>;

const DRAFT = "uploads";
const LIFETIME_S = 3600;
const MIB = 1024 * 1024;
/** Small parts show progress and lose little when a connection breaks; large files need fewer requests. */
const PART_BYTES = { small: MIB, large: 8 * MIB, border: 64 * MIB };

class Uploads {
  entries: UploadEntry[] = $state([]);
  readonly #files = new Map<string, File>();
  readonly #stops = new Map<string, AbortController>();
  readonly #done = new Set<(fileId: string, purpose: UploadPurpose) => void>();
  #isRestored = false;

  get areSending(): boolean {
    return this.entries.some(({ state }) => state === "sending");
  }

  /** Call a function with each new file. Returns what ends that. */
  onDone(call: (fileId: string, purpose: UploadPurpose) => void): () => void {
    this.#done.add(call);
    return () => this.#done.delete(call);
  }

  /** Begin to upload files. One that was interrupted before is resumed instead. */
  add(files: Iterable<File>, purpose: UploadPurpose): void {
    for (const file of files) {
      const known = this.entries.find((entry) => isSame(entry, file) && entry.state !== "sent");
      if (known) {
        this.#files.set(known.key, file);
        if (known.state !== "sending") void this.resume(known.key);
        continue;
      }
      const key = crypto.getRandomValues(new Uint32Array(2)).join("-");
      this.#files.set(key, file);
      this.entries.unshift({
        key,
        name: file.name,
        size: file.size,
        modified: file.lastModified,
        purpose,
        state: "sending",
        sentBytes: 0,
        uploadId: null,
        expiresAt: null,
        fileId: null,
        fault: null,
      });
      void this.#send(key);
    }
  }

  /** Whether a stopped upload needs its file again. */
  needsFile(key: string): boolean {
    return !this.#files.has(key);
  }

  pause(key: string): void {
    this.#change(key, { state: "paused" });
    this.#stops.get(key)?.abort();
  }

  async resume(key: string): Promise<void> {
    const expiresAt = this.#find(key)?.expiresAt ?? null;
    const isExpired = expiresAt !== null && expiresAt * 1000 < Date.now();
    const anew = isExpired ? { uploadId: null, expiresAt: null, sentBytes: 0 } : {};
    this.#change(key, { state: "sending", fault: null, ...anew });
    await this.#send(key);
  }

  /** Resume with a file that the person chose again. Returns whether it is the same file. */
  choose(key: string, file: File): boolean {
    const entry = this.#find(key);
    if (!entry || entry.name !== file.name || entry.size !== file.size) return false;
    this.#files.set(key, file);
    void this.resume(key);
    return true;
  }

  /** Take an upload off the list. One that is not complete is cancelled. */
  remove(key: string): void {
    const entry = this.#find(key);
    this.#stops.get(key)?.abort();
    if (entry?.uploadId && entry.state !== "sent") {
      // A failure leaves parts that the service deletes within the hour.
      client.uploads.cancel(entry.uploadId).then(undefined, () => undefined);
    }
    this.entries = this.entries.filter((each) => each.key !== key);
    this.#files.delete(key);
    this.#store();
  }

  /** Show the uploads that a reload interrupted. */
  async restore(): Promise<void> {
    if (this.#isRestored) return;
    this.#isRestored = true;
    connection.onBack(() => {
      for (const { key, state, fault } of this.entries) {
        if (state === "failed" && fault?.code === "offline") void this.resume(key);
      }
    });
    for (const stored of (await readDraft<Stored[]>(DRAFT)) ?? []) {
      if (!stored.uploadId || this.entries.some((entry) => entry.uploadId === stored.uploadId)) {
        continue;
      }
      const found = await this.#look(stored.uploadId);
      if (!found) continue;
      const key = stored.uploadId;
      this.entries.push({ ...stored, key, fileId: null, fault: null, state: "reselect", ...found });
    }
    this.#store();
  }

  async #look(id: string): Promise<{ sentBytes: number; expiresAt: number } | null> {
    try {
      const upload = await client.uploads.retrieve(id);
      if (upload.status !== "pending") return null;
      const parts = await client.uploads.parts.list(id);
      const sentBytes = parts.data.reduce((sum, part) => sum + part.bytes, 0);
      return { sentBytes, expiresAt: upload.expires_at };
    } catch {
      return null;
    }
  }

  async #send(key: string): Promise<void> {
    const [entry, file] = [this.#find(key), this.#files.get(key)];
    if (!entry || !file) return;
    const stop = new AbortController();
    this.#stops.set(key, stop);
    try {
      const { id } = await client.files.upload(file, {
        purpose: entry.purpose,
        ...(entry.uploadId ? { resume: entry.uploadId } : {}),
        partBytes: file.size < PART_BYTES.border ? PART_BYTES.small : partBytes(file.size),
        parallel: 3,
        signal: stop.signal,
        onProgress: ({ uploadId, sentBytes }) => {
          const isNew = this.#find(key)?.uploadId !== uploadId;
          this.#change(key, { uploadId, sentBytes });
          if (!isNew) return;
          this.#change(key, { expiresAt: Date.now() / 1000 + LIFETIME_S });
          this.#store();
        },
      });
      this.#change(key, { state: "sent", fileId: id, sentBytes: file.size });
      this.#files.delete(key);
      for (const call of this.#done) call(id, entry.purpose);
    } catch (error) {
      if (stop.signal.aborted) return;
      const cause = error instanceof Error && error.cause ? error.cause : error;
      this.#change(key, { state: "failed", fault: faultOf(cause) });
    } finally {
      if (this.#stops.get(key) === stop) this.#stops.delete(key);
      this.#store();
    }
  }

  #find(key: string): UploadEntry | undefined {
    return this.entries.find((entry) => entry.key === key);
  }

  #change(key: string, change: Partial<UploadEntry>): void {
    const entry = this.#find(key);
    if (entry) Object.assign(entry, change);
  }

  #store(): void {
    const open = this.entries
      .filter(({ uploadId, state }) => uploadId && state !== "sent")
      .map(({ name, size, modified, purpose, uploadId, expiresAt }): Stored => {
        return { name, size, modified, purpose, uploadId, expiresAt };
      });
    void writeDraft(DRAFT, open);
  }
}

function isSame(entry: UploadEntry, file: File): boolean {
  return entry.name === file.name && entry.size === file.size;
}

/** The service takes up to 10,000 parts. The size must be the same when an upload is resumed. */
function partBytes(size: number): number {
  return Math.max(PART_BYTES.large, Math.ceil(size / 10_000));
}

export const uploads = new Uploads();
