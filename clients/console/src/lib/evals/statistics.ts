/** Intervals of shares, and of differences between shares on the same items. */

const Z = 1.959964;

export interface Interval {
  mean: number;
  low: number;
  high: number;
}

/** Wilson's 95% interval of a share; null if there is nothing to count. */
export function wilson(successes: number, count: number): Interval | null {
  if (count === 0) return null;
  const share = successes / count;
  const middle = (share + (Z * Z) / (2 * count)) / (1 + (Z * Z) / count);
  const half =
    (Z / (1 + (Z * Z) / count)) *
    Math.sqrt((share * (1 - share)) / count + (Z * Z) / (4 * count * count));
  return { mean: share, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

/**
 * Agresti's and Min's 95% interval of a difference between two shares on the same items, of which
 * `better` only the second passed, and `worse` only the first; null if there are no items.
 */
export function pairedDifference(better: number, worse: number, count: number): Interval | null {
  if (count === 0) return null;
  const [more, less, all] = [better + 0.5, worse + 0.5, count + 2];
  const middle = (more - less) / all;
  const half = (Z * Math.sqrt(more + less - (more - less) ** 2 / all)) / all;
  return {
    mean: (better - worse) / count,
    low: Math.max(-1, middle - half),
    high: Math.min(1, middle + half),
  };
}
