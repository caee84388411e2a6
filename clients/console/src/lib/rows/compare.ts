/** Marks what differs between two texts. The comparison is loaded when it is needed. */

import type { Range } from "./segments.ts";

/** Longer texts are shown without marks: they take too long, and no one reads them word by word. */
const LONGEST = 20_000;
const TIMEOUT_MS = 300;

export interface Difference {
  deleted: Range[];
  inserted: Range[];
}

function words(text: string, lang: string | undefined): string[] {
  const segmenter = new Intl.Segmenter(lang, { granularity: "word" });
  return [...segmenter.segment(text)].map(({ segment }) => segment);
}

/** The words that only the first text has, and those that only the second has. */
export async function differenceOf(
  before: string,
  after: string,
  lang?: string,
): Promise<Difference> {
  const none = { deleted: [], inserted: [] };
  if (before === after || Math.max(before.length, after.length) > LONGEST) return none;
  const { diffArrays } = await import("diff");
  const changes = diffArrays(words(before, lang), words(after, lang), { timeout: TIMEOUT_MS });
  const found: Difference = { deleted: [], inserted: [] };
  let [at, otherAt] = [0, 0];
  for (const { value, added, removed } of changes ?? []) {
    const { length } = value.join("");
    if (removed) found.deleted.push({ start: at, end: at + length, kind: "deleted" });
    if (added) found.inserted.push({ start: otherAt, end: otherAt + length, kind: "inserted" });
    if (!added) at += length;
    if (!removed) otherAt += length;
  }
  return found;
}
