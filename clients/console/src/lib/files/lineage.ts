/** Where a file comes from, and which files were made from it. */

import type { DatasetCleaning, DatasetMerge, FileObject } from "@finetuned/client";
import { APIError, client } from "#lib/api.ts";

/** A version: a file with what made it. The file is null if it is deleted. */
export interface Version {
  id: string;
  file: FileObject | null;
  depth: number;
  cleaning: DatasetCleaning | null;
  merge: DatasetMerge | null;
}

/** Files may have been cleaned many times; this many are enough to find one's way. */
const MAX_VERSIONS = 40;

async function fileOf(id: string, signal: AbortSignal): Promise<FileObject | null> {
  try {
    return await client.files.retrieve(id, { signal });
  } catch (error) {
    if (error instanceof APIError && error.status === 404) return null;
    throw error;
  }
}

/** The file that the versions of a file begin with. */
async function rootOf(file: FileObject, signal: AbortSignal): Promise<string> {
  let root = file;
  for (let step = 0; root.derived_from && step < MAX_VERSIONS; step++) {
    const source = await fileOf(root.derived_from, signal);
    if (!source) return root.derived_from;
    root = source;
  }
  return root.id;
}

/** All versions that come from the same uploaded file, each after the one that it was made from. */
export async function versionsOf(file: FileObject, signal: AbortSignal): Promise<Version[]> {
  const versions: Version[] = [];
  const seen = new Set<string>();

  async function add(id: string, depth: number, made: Partial<Version>): Promise<void> {
    if (seen.has(id) || seen.size >= MAX_VERSIONS) return;
    seen.add(id);
    const found = await fileOf(id, signal);
    versions.push({ id, file: found, depth, cleaning: null, merge: null, ...made });
    if (!found) return;
    const filter = { file_id: id, status: "completed", order: "asc", limit: 20 } as const;
    const [cleanings, merges] = await Promise.all([
      client.datasetCleanings.list(filter, { signal }),
      client.datasetMerges.list(filter, { signal }),
    ]);
    for (const cleaning of cleanings.data) {
      const { training_file_id: training, validation_file_id: held } = cleaning.result ?? {};
      if (training) await add(training, depth + 1, { cleaning });
      if (held) await add(held, depth + 1, { cleaning });
    }
    for (const merge of merges.data) {
      if (merge.result) await add(merge.result.merged_file_id, depth + 1, { merge });
    }
  }

  await add(await rootOf(file, signal), 0, {});
  if (!seen.has(file.id)) await add(file.id, 0, {});
  return versions;
}

export function versionsQuery(file: FileObject) {
  return {
    queryKey: ["files", file.id, "versions"],
    queryFn: ({ signal }: { signal: AbortSignal }) => versionsOf(file, signal),
  } as const;
}

/** What a version is compared with at first: its source, or else the newest version made from it. */
export function comparedWith(id: string, versions: readonly Version[]): string | null {
  const usable = versions.filter(({ file }) => file?.status === "processed");
  const own = versions.find((each) => each.id === id);
  const source = own?.file?.derived_from ?? null;
  if (source && versions.some((each) => each.id === source && each.file)) return source;
  return usable.filter((each) => each.id !== id).at(-1)?.id ?? null;
}
