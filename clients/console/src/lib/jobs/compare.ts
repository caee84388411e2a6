/** Several jobs on one axis. */

import type { FineTuningJob, JobMetrics } from "@finetuned/client";
import { smooth, trainingTime } from "./curves.ts";
import { nameOf } from "./job.ts";

export const AXES = ["step", "epoch", "tokens", "time"] as const;
export type Axis = (typeof AXES)[number];

export const MOST_JOBS = 5;

export interface Compared {
  job: FineTuningJob;
  metrics: JobMetrics;
  /** Number of steps of the whole job, if its events say so. */
  total: number | null;
}

/** Names of jobs, with the end of the ID where two have the same. */
export function namesOf(jobs: readonly FineTuningJob[]): string[] {
  const names = jobs.map(nameOf);
  return jobs.map((job, i) => {
    const name = names[i] as string;
    const isUnique = names.filter((each) => each === name).length === 1;
    return isUnique ? name : `${name} (${job.id.slice(-6)})`;
  });
}

/** The place of each step of a job on an axis. */
function places({ job, metrics, total }: Compared, axis: Axis): (step: number) => number | null {
  if (axis === "step") return (step) => step;
  if (axis === "time") {
    const times = trainingTime(metrics.metrics);
    return (step) => times.get(step) ?? null;
  }
  if (axis === "tokens") {
    const { step: steps = [], last = [] } = metrics.metrics.trained_tokens ?? {};
    const tokens = new Map(steps.map((step, i) => [step, last[i] as number]));
    return (step) => tokens.get(step) ?? null;
  }
  const epochs = Number(job.hyperparameters.n_epochs);
  const all = total ?? metrics.last_step ?? 0;
  return (step) => (all > 0 && epochs > 0 ? (step / all) * epochs : null);
}

/** A metric of jobs on a common axis. Where a job was not measured, its value is undefined. */
export function onAxis(
  compared: readonly Compared[],
  metric: string,
  axis: Axis,
  weight: number,
): { x: number[]; values: (number | undefined)[][] } {
  const curves = compared.map((each) => {
    const series = each.metrics.metrics[metric];
    const place = places(each, axis);
    const values = weight > 0 ? smooth(series?.mean ?? [], weight) : (series?.last ?? []);
    const points = new Map<number, number>();
    series?.step.forEach((step, i) => {
      const at = place(step);
      if (at !== null) points.set(at, values[i] as number);
    });
    return points;
  });
  const x = [...new Set(curves.flatMap((points) => [...points.keys()]))].sort((a, b) => a - b);
  return { x, values: curves.map((points) => x.map((at) => points.get(at))) };
}

/** Whether all jobs have the same file in a field. */
export function isSame(
  jobs: readonly FineTuningJob[],
  field: "training_file" | "validation_file",
): boolean {
  return new Set(jobs.map((job) => job[field])).size === 1;
}
