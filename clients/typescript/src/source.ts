/** Where the bytes of an upload come from. */

import { type Digest, newMd5 } from "./md5.js";

export interface UploadSource {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** A media type, or empty. */
  readonly type: string;
  /** The bytes from `start` up to `end`. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** A new MD5, where there is a faster one than JavaScript's. */
  md5?(): Digest;
}

/** What can be uploaded as it is. */
export type Uploadable = Blob | UploadSource;

/** A source of a Blob, a File, or what is one already. */
export function sourceOf(file: Uploadable, name: string | undefined): UploadSource {
  if (!(file instanceof Blob)) return name === undefined ? file : renamed(file, name);
  return {
    name: name ?? (file instanceof File ? file.name : "upload"),
    size: file.size,
    type: file.type,
    read: async (start, end) => new Uint8Array(await file.slice(start, end).arrayBuffer()),
  };
}

/** A new MD5 for the bytes of a source. */
export function digestFor(source: UploadSource): Digest {
  return source.md5?.() ?? newMd5();
}

function renamed(source: UploadSource, name: string): UploadSource {
  return { ...source, name, read: (start, end) => source.read(start, end) };
}
