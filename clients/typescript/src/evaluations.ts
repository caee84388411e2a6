/** Evaluations of fine-tuning jobs on their held-out rows. */

import { type Finetuned, unwrap } from "./client.js";
import { NotFoundError } from "./errors.js";
import { sleep } from "./retry.js";
import type { JobEvaluationObject } from "./types.js";

const POLL_MS = 2_000;
const ENDED = ["succeeded", "failed", "cancelled"];

export interface EvaluationOptions {
  signal?: AbortSignal;
}

/**
 * Return the evaluation of a job once it has ended. Check its `status`.
 *
 * Waits for the job first. Throws NotFoundError if the job ends without an evaluation.
 */
export async function waitForEvaluation(
  client: Finetuned,
  jobId: string,
  { signal }: EvaluationOptions = {},
): Promise<JobEvaluationObject> {
  const request = { params: { path: { job_id: jobId } }, signal: signal ?? null };
  for (let jobEnded = false; ; ) {
    try {
      const found = await unwrap(
        client.http.GET("/v1/fine_tuning/jobs/{job_id}/evaluation", request),
      );
      if (found.status !== "in_progress") return found;
    } catch (error) {
      // The job's status is read after the evaluation, so one that just ended is read again.
      if (!(error instanceof NotFoundError) || jobEnded) throw error;
      const job = await unwrap(client.http.GET("/v1/fine_tuning/jobs/{job_id}", request));
      jobEnded = ENDED.includes(job.status);
      if (jobEnded) continue;
    }
    await sleep(POLL_MS, signal ?? null);
  }
}

/**
 * Run the evaluation of a job again. Throws ConflictError if it is in progress.
 *
 * `baselinePrompt` is a system prompt of yours that the model is compared with.
 */
export function evaluateAgain(
  client: Finetuned,
  jobId: string,
  { baselinePrompt, signal }: EvaluationOptions & { baselinePrompt?: string } = {},
): Promise<JobEvaluationObject> {
  return unwrap(
    client.http.POST("/v1/fine_tuning/jobs/{job_id}/evaluation", {
      params: { path: { job_id: jobId } },
      ...(baselinePrompt === undefined ? {} : { body: { baseline_prompt: baselinePrompt } }),
      signal: signal ?? null,
    }),
  );
}

/**
 * Return everything that an evaluation measured as JSON, Markdown or an HTML page.
 *
 * Throws ConflictError if the evaluation is not completed.
 */
export async function evaluationReport(
  client: Finetuned,
  jobId: string,
  format: "json" | "md" | "html" = "md",
  { signal }: EvaluationOptions = {},
): Promise<string> {
  const path = `/v1/fine_tuning/jobs/${encodeURIComponent(jobId)}/evaluation/report`;
  const response = await client.send(`${path}?format=${format}`, { signal: signal ?? null });
  return response.text();
}
