/** Which pairs of answers a blind review shows, and in which order. */

import { textOfAnswer, type Report, type ReportRow } from "./report.ts";

export type Pair = readonly [string, string];

export interface Item {
  row: ReportRow & { line: number };
  /** Columns in the order shown: the first answer, then the second. */
  shown: Pair;
}

/** The pairs of columns that can be compared. The tuned model and its strongest rival come first. */
export function pairsOf(report: Report): Pair[] {
  const names = report.columns.map(({ name }) => name);
  const rivals = ["prompt", "base", ...names.filter((name) => !FIXED.has(name))];
  return rivals.filter((name) => names.includes(name)).map((name) => ["tuned", name] as const);
}
const FIXED = new Set(["base", "prompt", "tuned"]);

/**
 * The rows to review, in random order, so that one can stop at any time. Rows without two different
 * answers are skipped: there is nothing to choose.
 */
export function itemsOf(report: Report, [a, b]: Pair, random: () => number = Math.random): Item[] {
  const items: Item[] = [];
  for (const row of report.rows) {
    const [one, other] = [row.answers[a], row.answers[b]];
    if (!row.line || !one || !other || one.error || other.error) continue;
    if (textOfAnswer(one) === textOfAnswer(other)) continue;
    const shown: Pair = random() < 0.5 ? [a, b] : [b, a];
    items.push({ row: { ...row, line: row.line }, shown });
  }
  for (let index = items.length - 1; index > 0; index--) {
    const other = Math.floor(random() * (index + 1));
    [items[index], items[other]] = [items[other] as Item, items[index] as Item];
  }
  return items;
}
