/** Suites of aliases in words: their bounds, their schedule, and what a check measured. */

import type { Alias, AliasCheck, AliasCheckRun, AliasSuite } from "@finetuned/client";
import { client } from "#lib/api.ts";
import { digitsOf, fixed, signed } from "#lib/evaluation/wording.ts";
import { percent, t } from "#lib/i18n.svelte.ts";
import { hasEnded } from "#lib/operations.ts";
import { session } from "#lib/session.svelte.ts";

/** Cron expressions in UTC that have a name. */
export const SCHEDULES = {
  nightly: "0 3 * * *",
  weekly: "0 3 * * 1",
  monthly: "0 3 1 * *",
} as const;

interface Change {
  suites?: AliasSuite[];
  schedule?: string | null;
  reason?: string;
}

/** Change an alias but not its targets, unless someone else changed it since. */
export function changeAlias({ id, targets, etag }: Alias, change: Change): Promise<Alias> {
  return client.aliases.set(id, { targets, ...change }, { ifMatch: etag });
}

/** Query of the evals and runs that suites name. What was deleted has no name. */
export function namesQuery(suites: readonly Pick<AliasSuite, "eval_id" | "run_id">[]) {
  const byRun = new Map(suites.map((suite) => [suite.run_id, suite]));
  return {
    queryKey: ["suites", ...byRun.keys()],
    enabled: session.can("data.read"),
    queryFn: async () =>
      Object.fromEntries(
        await Promise.all(
          [...byRun.values()].flatMap(({ eval_id, run_id }) => [
            client.evals.retrieve(eval_id).then(
              ({ name }) => [eval_id, name || eval_id] as const,
              () => [eval_id, eval_id] as const,
            ),
            client.evals.runs.retrieve(run_id, { eval_id }).then(
              ({ name }) => [run_id, name || run_id] as const,
              () => [run_id, run_id] as const,
            ),
          ]),
        ),
      ) as Record<string, string>,
    staleTime: 60_000,
  };
}

export function compareHref({ eval_id }: { eval_id: string }, runs: readonly string[]): string {
  return `/console/evals/${eval_id}/compare?runs=${runs.join(",")}`;
}

type Bounds = Pick<AliasSuite, "min_difference" | "min_score">;

/** What a suite requires, as sentences. */
export function boundsOf({ min_difference: difference, min_score: score }: Bounds): string[] {
  const sentences = [];
  if (difference != null) {
    sentences.push(
      t("models.suites.difference", {
        kind: difference < 0 ? "worse" : difference > 0 ? "better" : "same",
        points: fixed(Math.abs(difference) * 100, decimals(difference)),
      }),
    );
  }
  if (score != null) sentences.push(t("models.suites.score", { share: percent(score, 1) }));
  return sentences;
}

/** What counts in a suite: the share of items that pass, or a grader, by its name. */
export function metricOf(metric: string | undefined): string {
  return !metric || metric === "passed" ? t("models.suites.passed") : metric;
}

export type Outcome = "running" | "passed" | "not_passed" | "unknown";

/** A figure of a check with its interval and its bound, all in points. */
export interface Measured {
  name: "difference" | "score";
  mean: number;
  low: number;
  high: number;
  bound: number;
  /** The figure with its interval, and the bound, in words. */
  interval: string;
  boundText: string;
}

/** A difference in points with its sign, or a score in percent. */
function figureText(name: Measured["name"], share: number, digits: number): string {
  return name === "difference" ? signed(share * 100, digits) : percent(share, digits);
}

export function measuredOf(run: AliasCheckRun): Measured[] {
  return (["difference", "score"] as const).flatMap((name) => {
    const [bound, low] = [run[`min_${name}`], run[`${name}_low`]];
    // Checks of older versions have the lower limit only.
    const [mean, high] = [run[`${name}_mean`] ?? low, run[`${name}_high`] ?? low];
    if (bound === null || low === null || mean == null || high == null) return [];
    const points = { mean: mean * 100, low: low * 100, high: high * 100, bound: bound * 100 };
    const digits = digitsOf(points.low, points.high);
    const [first, ...limits] = [mean, low, high].map((each) => figureText(name, each, digits));
    return [
      {
        name,
        ...points,
        interval: `${first} [${limits.join(", ")}]`,
        boundText: figureText(name, bound, decimals(bound)),
      },
    ];
  });
}

export function outcomeOf(run: AliasCheckRun, check: AliasCheck): Outcome {
  if (!hasEnded(check)) return "running";
  if (measuredOf(run).length === 0) return "unknown";
  return run.passed ? "passed" : "not_passed";
}

function decimals(share: number): 0 | 1 {
  return Number.isInteger(Math.round(share * 1000) / 10) ? 0 : 1;
}
