/** Reads what an archive of evidence says is missing in it. */

export interface Missing {
  /** Name of the file that it would be in, such as `evaluation`. */
  part: string;
  /** The service's sentence, in English. */
  reason: string;
}

const BLOCK = 512;

/** Return what is missing in a tar archive, by its manifest. Throws an error if it has none. */
export async function missingIn(archive: Blob): Promise<Missing[]> {
  for (let at = 0; at + BLOCK <= archive.size;) {
    const header = await archive.slice(at, at + BLOCK).text();
    const name = header.slice(0, 100).replace(/\0.*$/s, "");
    const size = parseInt(header.slice(124, 136), 8) || 0;
    const start = at + BLOCK;
    if (name.endsWith("/manifest.json")) {
      const manifest = JSON.parse(await archive.slice(start, start + size).text());
      return (manifest as { missing: Missing[] }).missing;
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new Error("The archive has no manifest.json.");
}
