/** Packs files as one tar archive, which is read from them while it is sent. */

import type { UploadSource } from "./source.js";

const BLOCK = 512;
/** The header has 11 octal digits for the size. */
const MAX_BYTES = 8 ** 11 - 1;

interface Piece {
  size: number;
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Return a tar archive with these files in a folder. Names must be short and in ASCII. */
export function tarOf(name: string, folder: string, files: readonly UploadSource[]): UploadSource {
  const pieces = files.flatMap((file) => [
    pieceOf(headerOf(`${folder}/${file.name}`, file.size)),
    file,
    pieceOf(new Uint8Array(-file.size & (BLOCK - 1))),
  ]);
  pieces.push(pieceOf(new Uint8Array(2 * BLOCK))); // the end of the archive
  const size = pieces.reduce((sum, piece) => sum + piece.size, 0);
  const md5 = files.find((file) => file.md5)?.md5;
  return {
    name,
    size,
    type: "application/x-tar",
    read: (start, end) => readPieces(pieces, start, end),
    ...(md5 === undefined ? {} : { md5 }),
  };
}

function pieceOf(bytes: Uint8Array<ArrayBuffer>): Piece {
  return { size: bytes.length, read: async (start, end) => bytes.subarray(start, end) };
}

async function readPieces(
  pieces: readonly Piece[],
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const read = new Uint8Array(end - start);
  let [filled, at] = [0, 0];
  for (const piece of pieces) {
    const [from, to] = [Math.max(start - at, 0), Math.min(end - at, piece.size)];
    at += piece.size;
    if (from >= to) continue;
    const part = await piece.read(from, to);
    read.set(part, filled);
    filled += part.length;
    if (part.length < to - from) break; // the file became shorter, which the upload reports
  }
  return read.subarray(0, filled);
}

/** Return the header of a file (POSIX ustar). */
function headerOf(path: string, size: number): Uint8Array<ArrayBuffer> {
  if (size > MAX_BYTES) throw new RangeError(`${path} is larger than 8 GiB.`);
  const header = new Uint8Array(BLOCK);
  const put = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  put(path, 0);
  put(octal(0o644, 7), 100); // mode
  put(octal(0, 7), 108); // user
  put(octal(0, 7), 116); // group
  put(octal(size, 11), 124);
  put(octal(0, 11), 136); // time of modification: the same folder has the same archive
  put(" ".repeat(8), 148); // counts as spaces in the checksum
  put("0", 156); // a plain file
  put("ustar\0" + "00", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(`${octal(sum, 6)} `, 148);
  return header;
}
