/** Splits a text at the ranges that are marked in it. */

export type RangeKind = "personal" | "finding" | "differs" | "inserted" | "deleted";

/** A marked part of a text, in UTF-16 code units. */
export interface Range {
  start: number;
  end: number;
  kind: RangeKind;
  /** What a screen reader and the tooltip say about it. */
  label?: string | undefined;
  /** What copying gives instead of the text, if it is personal data. */
  mask?: string;
}

export interface Segment {
  start: number;
  text: string;
  ranges: Range[];
}

/** The positions in UTF-16 code units of positions in code points, which the API counts. */
export function codeUnits(
  text: string,
  start: number,
  end: number,
): { start: number; end: number } {
  // Without surrogate pairs, which are rare, both are the same.
  if (!/[\ud800-\udbff]/.test(text)) return { start, end };
  let units = 0;
  let points = 0;
  const found = { start: text.length, end: text.length };
  for (const character of text) {
    if (points === start) found.start = units;
    if (points === end) {
      found.end = units;
      break;
    }
    points += 1;
    units += character.length;
  }
  return found;
}

/** The text in segments, each with the ranges that cover it. Ranges may overlap. */
export function segmentsOf(text: string, ranges: readonly Range[]): Segment[] {
  const inside = ranges
    .map((range) => ({ ...range, end: Math.min(range.end, text.length) }))
    .filter(({ start, end }) => start < end);
  const edges = new Set([0, text.length]);
  for (const { start, end } of inside) edges.add(start).add(end);
  const sorted = [...edges].sort((a, b) => a - b);
  return sorted.slice(0, -1).map((start, index) => ({
    start,
    text: text.slice(start, sorted[index + 1]),
    ranges: inside.filter((range) => range.start <= start && start < range.end),
  }));
}
