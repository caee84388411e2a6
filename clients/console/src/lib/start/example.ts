/**
 * The guided first training: example data that is part of the console, uploaded and trained like any
 * other. What was done is read from the API, so that a reload or another browser goes on with it.
 */

import type { FileObject, FineTuningJob, Model } from "@finetuned/client";
import rowsUrl from "../../../../../examples/lighthouse-bookshop.jsonl?url&no-inline";
import heldOutUrl from "../../../../../examples/lighthouse-bookshop.validation.jsonl?url&no-inline";
import { client } from "#lib/api.ts";

const ROWS = { name: "lighthouse-bookshop.jsonl", url: rowsUrl };
const HELD_OUT = { name: "lighthouse-bookshop.validation.jsonl", url: heldOutUrl };
/** Marks the job among those of the project. */
const METADATA = { console: "example" };
const SUFFIX = "lighthouse";

/** The model of the demo, for which the settings below were tried: it learns the voice in one epoch. */
const DEMO_MODEL = "smollm2-135m-instruct";
const DEMO_SETTINGS = { n_epochs: 1, batch_size: 8, learning_rate_multiplier: 3 };

export interface Example {
  rows: FileObject | null;
  heldOut: FileObject | null;
  job: FineTuningJob | null;
}

async function findFile(name: string, signal?: AbortSignal): Promise<FileObject | null> {
  const params = { search: name, purpose: "fine-tune" as const, limit: 20 };
  const { data } = await client.files.list(params, signal ? { signal } : undefined);
  return data.find((file) => file.filename === name && file.status !== "error") ?? null;
}

/** Return what there is of the example in the project. */
export async function findExample(signal?: AbortSignal): Promise<Example> {
  const options = signal ? { signal } : undefined;
  const [jobs, rows, heldOut] = await Promise.all([
    client.fineTuning.jobs.list({ metadata: METADATA, limit: 1 }, options),
    findFile(ROWS.name, signal),
    findFile(HELD_OUT.name, signal),
  ]);
  return { rows, heldOut, job: jobs.data[0] ?? null };
}

/** The base model to train: that of the demo, or else the first that an engine serves. */
export function modelFor(models: readonly Model[]): Model | null {
  const bases = models.filter(
    ({ base_model, alias_of, available }) => !base_model && !alias_of && available,
  );
  return bases.find(({ id }) => id === DEMO_MODEL) ?? bases[0] ?? null;
}

async function uploaded({ name, url }: { name: string; url: string }): Promise<FileObject> {
  const found = await findFile(name);
  if (found) return found;
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${url}`);
  const file = new File([await response.blob()], name);
  return client.files.create({ file, purpose: "fine-tune" });
}

/** Upload the example unless it is there, wait until it is checked, and start the job. */
export async function trainExample(model: string, onchange: () => void): Promise<FineTuningJob> {
  const [rows, heldOut] = await Promise.all([uploaded(ROWS), uploaded(HELD_OUT)]);
  onchange();
  await Promise.all([client.files.wait(rows.id), client.files.wait(heldOut.id)]);
  onchange();
  const hyperparameters = model === DEMO_MODEL ? DEMO_SETTINGS : {};
  return client.fineTuning.jobs.create({
    model,
    training_file: rows.id,
    validation_file: heldOut.id,
    suffix: SUFFIX,
    seed: 7,
    metadata: METADATA,
    method: { type: "supervised", supervised: { hyperparameters } },
  });
}
