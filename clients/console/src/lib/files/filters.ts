/** Filters of the list of files, as the address has them. */

import type { FilePurpose, FileStatus } from "@finetuned/client";

export const SHOWN_PURPOSES = [
  "fine-tune",
  "user_data",
  "evals",
  "batch",
  "fine-tune-results",
  "batch_output",
  "model-import",
] as const satisfies readonly FilePurpose[];
export const STATUSES = ["uploaded", "processed", "error"] as const satisfies readonly FileStatus[];

export interface FileFilters {
  /** Null for files of all purposes. */
  purpose: FilePurpose | null;
  status: FileStatus | null;
  search: string;
}

/** Read the filters of an address. Training files are what most people look for, so they come first. */
export function filtersOf(params: Pick<URLSearchParams, "get">): FileFilters {
  const purpose = params.get("purpose") ?? "fine-tune";
  const status = params.get("status");
  return {
    purpose: SHOWN_PURPOSES.find((each) => each === purpose) ?? null,
    status: STATUSES.find((each) => each === status) ?? null,
    search: params.get("search") ?? "",
  };
}

/** The list's query parameters for filters. */
export function listParams({ purpose, status, search }: FileFilters) {
  return {
    ...(purpose ? { purpose } : {}),
    ...(status ? { status: [status] } : {}),
    ...(search ? { search } : {}),
  };
}
