/** Marks what differs between the texts of two rows. */

import { differenceOf } from "./compare.ts";
import { turnsOf } from "./row.ts";
import type { Range, RangeKind } from "./segments.ts";

export type Ranges = Map<string, Range[]>;
type Row = Record<string, unknown>;

/** The differing parts of both rows, by the JSON Pointers of their texts. */
export async function rowDifferences(
  row: Row,
  other: Row,
  lang: string | undefined,
  kinds: { first: RangeKind; second: RangeKind },
): Promise<{ first: Ranges; second: Ranges }> {
  const found = { first: new Map() as Ranges, second: new Map() as Ranges };
  const [turns, others] = [turnsOf(row), turnsOf(other)];
  const isAligned = turns.length === others.length;
  await Promise.all(
    turns.map(async (turn, index) => {
      const match = isAligned
        ? others[index]
        : others.find(({ pointer }) => pointer === turn.pointer);
      if (!match) return;
      const { deleted, inserted } = await differenceOf(turn.text, match.text, lang);
      const as = (ranges: Range[], kind: RangeKind) => ranges.map((range) => ({ ...range, kind }));
      found.first.set(turn.pointer, as(deleted, kinds.first));
      found.second.set(match.pointer, as(inserted, kinds.second));
    }),
  );
  return found;
}

export function mergedRanges(...of: ReadonlyMap<string, Range[]>[]): Ranges {
  const merged: Ranges = new Map();
  for (const ranges of of) {
    for (const [pointer, some] of ranges) {
      merged.set(pointer, [...(merged.get(pointer) ?? []), ...some]);
    }
  }
  return merged;
}
