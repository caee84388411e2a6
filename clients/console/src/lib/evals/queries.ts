/** Queries of evals and their runs. */

import type { EvalRun, EvalRunOutputItem } from "@finetuned/client";
import { client } from "#lib/api.ts";
import { wilson, type Interval } from "./statistics.ts";

const WATCHED_MS = 2000;
interface Signal {
  signal: AbortSignal;
}

export function isRunning({ status }: EvalRun): boolean {
  return status === "queued" || status === "in_progress";
}

/** The share of graded items that all graders passed; null before the first one. */
export function scoreOf({ result_counts: counts }: EvalRun): Interval | null {
  return wilson(counts.passed, counts.passed + counts.failed);
}

export function evalQuery(id: string) {
  return {
    queryKey: ["evals", id],
    queryFn: ({ signal }: Signal) => client.evals.retrieve(id, { signal }),
  };
}

/** The newest runs of an eval. While one runs, they are asked for again. */
export function runsQuery(id: string) {
  return {
    queryKey: ["evals", id, "runs"],
    queryFn: ({ signal }: Signal) =>
      client.evals.runs.list(id, { order: "desc", limit: 100 }, { signal }),
    refetchInterval: ({ state }: { state: { data: { data: EvalRun[] } | undefined } }) =>
      state.data?.data.some(isRunning) ? WATCHED_MS : (false as const),
  };
}

export function runQuery(evalId: string, runId: string) {
  return {
    queryKey: ["evals", evalId, "runs", runId],
    queryFn: ({ signal }: Signal) =>
      client.evals.runs.retrieve(runId, { eval_id: evalId }, { signal }),
    refetchInterval: ({ state }: { state: { data: EvalRun | undefined } }) =>
      state.data && isRunning(state.data) ? WATCHED_MS : (false as const),
  };
}

/** An outcome with its personal data. */
export function readOutcome({
  id,
  eval_id,
  run_id,
}: Pick<EvalRunOutputItem, "id" | "eval_id" | "run_id">): Promise<EvalRunOutputItem> {
  return client.evals.runs.outputItems.retrieve(id, { eval_id, run_id, personal_data: "show" });
}
