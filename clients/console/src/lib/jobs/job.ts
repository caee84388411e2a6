/** What pages say about a fine-tuning job. */

import type { FineTuningJob } from "@finetuned/client";
import { client } from "#lib/api.ts";

/** The name that the person gave, or else the base model; with the end of the ID if it must differ. */
export function nameOf(job: FineTuningJob): string {
  return job.suffix ?? `${job.model} ${job.id.slice(-6)}`;
}

export function isOver({ status }: FineTuningJob): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

const WATCHED_MS = 3000;

/** Query of a job. While it is not over, it is asked for again. */
export function jobQuery(id: string) {
  return {
    queryKey: ["jobs", id],
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      client.fineTuning.jobs.retrieve(id, { signal }),
    refetchInterval: ({ state }: { state: { data: FineTuningJob | undefined } }) =>
      state.data && isOver(state.data) ? false : WATCHED_MS,
  };
}
