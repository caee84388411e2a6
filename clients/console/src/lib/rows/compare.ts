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
  const isOther =
    share(found.deleted, before) > MOST_MARKED && share(found.inserted, after) > MOST_MARKED;
  if (isOther) return none;
  return { deleted: joined(found.deleted, before), inserted: joined(found.inserted, after) };
}

/** Of texts that have little in common, marks would cover nearly all, and say nothing. */
const MOST_MARKED = 0.75;

function share(ranges: readonly Range[], text: string): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0) / Math.max(1, text.length);
}

/** Ranges with only spaces between them are one. */
function joined(ranges: readonly Range[], text: string): Range[] {
  const result: Range[] = [];
  for (const range of ranges) {
    const last = result.at(-1);
    if (last && text.slice(last.end, range.start).trim() === "") last.end = range.end;
    else result.push({ ...range });
  }
  return result;
}
