/** What the pages of models ask the API. */

import type { Alias, AliasTarget, FineTuningJob, ListedKind, Model } from "@finetuned/client";
import type { ListPage } from "#lib/list.svelte.ts";
import { client } from "#lib/api.ts";
import { session } from "#lib/session.svelte.ts";

/** Return a page of models. The first one has their number by kind. */
export function modelPage(
  kind: ListedKind | null,
  search: string,
  at: { limit: number; after?: string },
  signal: AbortSignal,
): Promise<ListPage<Model>> {
  const query = {
    ...at,
    include: at.after ? undefined : ["counts"],
    kind: kind ? [kind] : undefined,
    search: search || undefined,
  };
  return client.get<ListPage<Model>>("/models", { query, signal });
}

/** The aliases that send requests to a model. Aliases are listed whole: they are small. */
export async function aliasesOf(
  model: string,
): Promise<{ name: string; targets: AliasTarget[] }[]> {
  const { data } = await client.models.list({ kind: ["alias"] });
  return data
    .filter(({ alias_of }) => alias_of?.some((target) => target.model === model))
    .map(({ id, alias_of }) => ({ name: id, targets: alias_of ?? [] }));
}

/** A file in the history of a model: its name, or null if it was deleted. */
export interface LineageFile {
  id: string;
  name: string | null;
  sha256: string | null;
  rows: number | null;
  use: "training" | "validation" | "mixed";
}

export interface Lineage {
  job: FineTuningJob | null;
  files: LineageFile[];
}

/** Where a trained model comes from, as far as the role may read it. */
export async function lineageOf(model: Model): Promise<Lineage> {
  if (!model.fine_tuning_job || !session.can("fine_tuning.read")) return { job: null, files: [] };
  const job = await client.fineTuning.jobs.retrieve(model.fine_tuning_job).catch(() => null);
  if (!job) return { job: null, files: [] };
  const used: { id: string; use: LineageFile["use"] }[] = [
    { id: job.training_file, use: "training" },
    ...(job.mixed_files ?? []).map(({ file }) => ({ id: file, use: "mixed" as const })),
    ...(job.validation_file ? [{ id: job.validation_file, use: "validation" as const }] : []),
  ];
  const files = await Promise.all(
    used.map(async ({ id, use }) => {
      const file = session.can("files.read")
        ? await client.files.retrieve(id).catch(() => null)
        : null;
      const { filename = null, sha256 = null, rows = null } = file ?? {};
      return { id, use, name: filename, sha256: sha256 ?? null, rows: rows ?? null };
    }),
  );
  return { job, files };
}

/** Lines of a gate such as `chrf_gain >= 5`, as conditions by figure; null if a line is none. */
export function parseGate(text: string): Record<string, string> | null {
  const gate: Record<string, string> = {};
  for (const line of text.split("\n")) {
    if (!line.trim()) continue;
    const found = /^\s*([a-z_0-9]+)\s*(>=|<=|==|>|<|=)\s*(-?[\d.]+|checked)\s*$/i.exec(line);
    if (!found) return null;
    const [, key = "", operator = "", value = ""] = found;
    gate[key] = value === "checked" ? value : `${operator === "=" ? "==" : operator}${value}`;
  }
  return gate;
}

export function formatGate(gate: Alias["gate"]): string {
  return Object.entries(gate ?? {})
    .map(([key, condition]) => {
      const found = /^(>=|<=|==|>|<)(.*)$/.exec(condition);
      return found ? `${key} ${found[1]} ${found[2]?.trim()}` : `${key} = ${condition}`;
    })
    .join("\n");
}
