/** The saved settings of a job as rows of a table. */

import type { FineTuningJob } from "@finetuned/client";

export interface Setting {
  /** Name as in the API, such as `lora.r`. */
  name: string;
  value: string;
}

/** The hyperparameters of a job's method as its trainer used them, nested ones with dots. */
export function hyperparametersOf(job: FineTuningJob): Setting[] {
  const method = job.method[String(job.method.type)];
  const given = (method as { hyperparameters?: unknown } | undefined)?.hyperparameters;
  return [...flat("", given ?? {})];
}

function* flat(prefix: string, value: unknown): Generator<Setting> {
  for (const [name, inner] of Object.entries(value as Record<string, unknown>)) {
    const path = prefix + name;
    if (inner === null || inner === undefined) continue;
    if (typeof inner === "object" && !Array.isArray(inner)) yield* flat(`${path}.`, inner);
    else yield { name: path, value: Array.isArray(inner) ? inner.join(", ") : String(inner) };
  }
}

/** Names of settings with the value of each job, only those that differ. */
export function differences(jobs: readonly FineTuningJob[]): [string, (string | null)[]][] {
  const columns = jobs.map((job) => {
    const rows: Setting[] = [
      { name: "model", value: job.model },
      { name: "method.type", value: String(job.method.type) },
      { name: "seed", value: String(job.seed) },
      { name: "training_file", value: job.training_file },
      { name: "validation_file", value: job.validation_file ?? "" },
      ...hyperparametersOf(job),
    ];
    return new Map(rows.map(({ name, value }) => [name, value]));
  });
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  return names
    .map((name): [string, (string | null)[]] => [
      name,
      columns.map((column) => column.get(name) || null),
    ])
    .filter(([, values]) => new Set(values).size > 1);
}
