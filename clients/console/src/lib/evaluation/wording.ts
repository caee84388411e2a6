/** Puts metrics, columns, points and quantities of evaluations into words. A point is 1% of a score. */

import { i18n, textOf } from "#lib/i18n.svelte.ts";

// Below this width of an interval in points, integers would hide its limits.
const NARROW_POINTS = 5;

/** The metric's name for readers, such as "exact match". */
export function metricName(metric: string | null | undefined): string {
  return textOf(`statements.metric.${metric}`) ?? (metric ?? "").replaceAll("_", " ");
}

/** The column's name in a sentence, such as "the best prompt". Checkpoints keep their names. */
export function columnName(column: string): string {
  return textOf(`statements.column.${column}`) ?? column;
}

/** Names as in a sentence: "Thai, Lao and Khmer". */
export function joined(names: readonly string[]): string {
  return new Intl.ListFormat(i18n.language.tag, { type: "conjunction" }).format(names);
}

/** A number with exactly as many decimals, such as "31" or "-0.4"; never "-0". */
export function fixed(value: number, digits = 0): string {
  return new Intl.NumberFormat(i18n.language.tag, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    signDisplay: "negative",
  }).format(value);
}

/** A difference in points with its sign, such as "+31" or "-0.4". */
export function signed(value: number, digits = 0): string {
  return new Intl.NumberFormat(i18n.language.tag, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    signDisplay: "exceptZero",
  }).format(value);
}

/** The decimals that an interval needs: one if it is narrow, or if a limit would round to 0. */
export function digitsOf(low: number, high: number): 0 | 1 {
  const isFine =
    high - low < NARROW_POINTS || [low, high].some((x) => x !== 0 && Math.abs(x) < 0.5);
  return isFine ? 1 : 0;
}

/** Points with their interval, all with as many decimals as the interval needs. */
export function pointsInterval(mean: number, low: number, high: number) {
  const digits = digitsOf(low, high);
  return { points: fixed(mean, digits), low: fixed(low, digits), high: fixed(high, digits) };
}

/** The column's name as a heading, such as "Best prompt". Checkpoints keep their names. */
export function columnTitle(column: string): string {
  return textOf(`evaluation.column_title.${column}`) ?? column;
}
