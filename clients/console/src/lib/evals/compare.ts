/** Compares the outcomes of two runs on the same items. */

import type { EvalRunOutputItem } from "@finetuned/client";
import { pairedDifference, type Interval } from "./statistics.ts";

export interface Pair {
  before: EvalRunOutputItem;
  after: EvalRunOutputItem;
  change: "worse" | "better" | "same" | "error";
  /** Mean score of the graders after minus before. */
  points: number;
}

export interface Comparison {
  /** Items of both runs, those that got worse first. */
  pairs: Pair[];
  /** Share of items that pass, second run minus first; null without items that both graded. */
  difference: Interval | null;
  graded: number;
  better: number;
  worse: number;
  /** Items with the same number that differ, so that they cannot be compared. */
  different: number;
}

function meanScore({ results }: EvalRunOutputItem): number {
  if (results.length === 0) return 0;
  return results.reduce((sum, { score }) => sum + score, 0) / results.length;
}

const ORDER = { worse: 0, error: 1, same: 2, better: 3 };

export function compare(
  first: readonly EvalRunOutputItem[],
  second: readonly EvalRunOutputItem[],
): Comparison {
  const byNumber = new Map(second.map((item) => [item.datasource_item_id, item]));
  const pairs: Pair[] = [];
  let different = 0;
  for (const before of first) {
    const after = byNumber.get(before.datasource_item_id);
    if (!after) continue;
    if (JSON.stringify(before.datasource_item) !== JSON.stringify(after.datasource_item)) {
      different++;
      continue;
    }
    pairs.push({
      before,
      after,
      change: changeOf(before, after),
      points: meanScore(after) - meanScore(before),
    });
  }
  pairs.sort((a, b) => ORDER[a.change] - ORDER[b.change] || a.points - b.points);
  const count = (change: Pair["change"]): number =>
    pairs.filter((pair) => pair.change === change).length;
  const [better, worse] = [count("better"), count("worse")];
  const graded = pairs.length - count("error");
  const difference = pairedDifference(better, worse, graded);
  return { pairs, difference, graded, better, worse, different };
}

function changeOf(before: EvalRunOutputItem, after: EvalRunOutputItem): Pair["change"] {
  if (before.status === "error" || after.status === "error") return "error";
  if (before.status === after.status) return "same";
  return after.status === "pass" ? "better" : "worse";
}
