/** Sources of the bytes of an upload. */

import { type Digest, newMd5 } from "./md5.js";

export interface UploadSource {
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Media type, or an empty string. */
  readonly type: string;
  /** Read the bytes from `start` up to `end`. */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Create an MD5 digest; set if one faster than JavaScript's is available. */
  md5?(): Digest;
}

/** A value that can be uploaded directly. */
export type Uploadable = Blob | UploadSource;

/** Return a source for a Blob or a File, or the given source itself. */
export function sourceOf(file: Uploadable, name: string | undefined): UploadSource {
  if (!(file instanceof Blob)) return name === undefined ? file : renamed(file, name);
  return {
    name: name ?? (file instanceof File ? file.name : "upload"),
    size: file.size,
    type: file.type,
    read: async (start, end) => new Uint8Array(await file.slice(start, end).arrayBuffer()),
  };
}

/** Create an MD5 digest for the bytes of a source. */
export function digestFor(source: UploadSource): Digest {
  return source.md5?.() ?? newMd5();
}

function renamed(source: UploadSource, name: string): UploadSource {
  return { ...source, name, read: (start, end) => source.read(start, end) };
}
