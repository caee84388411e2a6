/** Queries of a job's evaluation. */

import type {
  EvaluationLabelQueue,
  EvaluationLabelTask,
  FineTuningJobEvaluation,
} from "@finetuned/client";
import { client, faultOf } from "#lib/api.ts";
import type { Report, ReportRow } from "./report.ts";

const WATCHED_MS = 3000;

/** The evaluation of a job, or null if it has none. While it runs, it is asked for again. */
export function evaluationQuery(jobId: string) {
  return {
    queryKey: ["jobs", jobId, "evaluation"],
    queryFn: async ({
      signal,
    }: {
      signal: AbortSignal;
    }): Promise<FineTuningJobEvaluation | null> => {
      try {
        return await client.fineTuning.jobs.evaluation.retrieve(jobId, { signal });
      } catch (error) {
        if (faultOf(error).code === "evaluation_not_found") return null;
        throw error;
      }
    },
    refetchInterval: ({
      state,
    }: {
      state: { data: FineTuningJobEvaluation | null | undefined };
    }) => (state.data?.status === "in_progress" ? WATCHED_MS : false),
  } as const;
}

/** The masked report of an evaluation that ended at `finishedAt`. It does not change. */
export function reportQuery(jobId: string, finishedAt: number | null) {
  return {
    queryKey: ["jobs", jobId, "evaluation", "report", finishedAt],
    queryFn: async ({ signal }: { signal: AbortSignal }): Promise<Report> => {
      const response = await client.fineTuning.jobs.evaluation.report(
        jobId,
        { personal_data: "mask" },
        { signal },
      );
      return (await response.json()) as Report;
    },
    staleTime: Infinity,
  } as const;
}

/** A row of the report with its personal data; null if it is gone. */
export async function readReportRow(jobId: string, line: number): Promise<ReportRow | null> {
  const asked = { personal_data: "show", line } as const;
  const response = await client.fineTuning.jobs.evaluation.report(jobId, asked);
  return ((await response.json()) as Report).rows[0] ?? null;
}

/** Labels that each row should have, so that it is known whether reviewers agree. */
export const OVERLAP = 2;
/** Number of tasks that are read at once. */
export const TASKS = 20;

/** The next answers to compare, masked, without the names of their columns. */
export function readQueue(
  jobId: string,
  compared?: readonly string[],
  signal?: AbortSignal,
): Promise<EvaluationLabelQueue> {
  return client.fineTuning.jobs.evaluation.labels.queue(
    jobId,
    {
      overlap: OVERLAP,
      limit: TASKS,
      personal_data: "mask",
      ...(compared ? { compared: [...compared] } : {}),
    },
    signal ? { signal } : {},
  );
}

/** A task with its personal data; null if it is gone. */
export async function readTask(
  jobId: string,
  compared: readonly string[],
  row: number,
): Promise<EvaluationLabelTask | null> {
  const found = await client.fineTuning.jobs.evaluation.labels.queue(jobId, {
    compared: [...compared],
    row,
    personal_data: "show",
  });
  return found.tasks[0] ?? null;
}
