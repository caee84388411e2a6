/** Fine-tuning jobs: what the generated methods lack. */

import { NotFoundError } from "./errors.js";
import type { ReturnedBy } from "./promise.js";
import {
  FineTuningJobsEvaluation as EvaluationRoutes,
  FineTuning as FineTuningRoutes,
  FineTuningJobs as JobRoutes,
} from "./resources.js";
import { type WaitOptions, waitFor, whenFilesAreReady } from "./wait.js";

type Job = ReturnedBy<JobRoutes["retrieve"]>;
type JobEvaluation = ReturnedBy<EvaluationRoutes["retrieve"]>;
type CreateJob = Parameters<FineTuningRoutes["estimate"]>[0];
type Estimate = ReturnedBy<FineTuningRoutes["estimate"]>;

const ENDED = ["succeeded", "failed", "cancelled"];

export class Evaluation extends EvaluationRoutes {
  /**
   * Return the evaluation of a job once it has ended. Check its `status`. Waits for the job first.
   *
   * Throws NotFoundError if the job ends without an evaluation.
   */
  override wait(jobId: string, options?: WaitOptions<JobEvaluation>): Promise<JobEvaluation> {
    let job: Job | null = null;
    return waitFor(async (request) => {
      try {
        return await this.retrieve(jobId, request);
      } catch (error) {
        // The job's status is read after the evaluation, so one that just ended is read again.
        if (!(error instanceof NotFoundError) || (job && ENDED.includes(job.status))) throw error;
        job = await this.client.get<Job>(`/fine_tuning/jobs/${jobId}`, request);
        return UNFINISHED;
      }
    }, options);
  }
}

/** Stands for an evaluation that does not exist yet. */
const UNFINISHED = { status: "in_progress" } as JobEvaluation;

export class Jobs extends JobRoutes {
  override readonly evaluation = new Evaluation(this.client);
}

export class FineTuning extends FineTuningRoutes {
  override readonly jobs = new Jobs(this.client);

  /**
   * Return an estimate of a job's steps, tokens, memory and time without creating it, once its
   * files are checked and measured.
   */
  estimateWhenReady(
    params: CreateJob,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Estimate> {
    return whenFilesAreReady(() => this.estimate(params, { signal, repeatable: true }), signal);
  }
}
