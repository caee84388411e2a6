/** Sentences about jobs. */

import type { FineTuningJob } from "@finetuned/client";
import { t } from "#lib/i18n.svelte.ts";
import { toast } from "#lib/toasts.svelte.ts";
import { nameOf } from "./job.ts";

export function stateOf(job: FineTuningJob): string {
  if (job.pausing && job.status === "running") return t("jobs.pausing");
  return t(`common.status.${job.status}`);
}

/** Say politely that a job has ended. */
export function announceEnd(job: FineTuningJob): void {
  const name = nameOf(job);
  if (job.status === "succeeded") toast(t("jobs.ended.succeeded", { name }));
  if (job.status === "failed") toast(t("jobs.ended.failed", { name }), "danger");
}
