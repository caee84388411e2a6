/** Intervals of shares. */

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
