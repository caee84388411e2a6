/** Background work on files: how to wait for it, and what a failure of it says. */

import type { OperationError, OperationStatus } from "@finetuned/client";
import { client } from "#lib/api.ts";

/** A background operation failed or was cancelled. */
export class OperationFailed extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Return an ended operation. Throws OperationFailed unless it is completed. */
export function completed<T extends { status: OperationStatus; error: OperationError | null }>(
  operation: T,
): T {
  if (operation.status === "completed") return operation;
  const { code, message } = operation.error ?? {
    code: operation.status,
    message: operation.status,
  };
  throw new OperationFailed(code, message);
}

const ENDED: readonly OperationStatus[] = ["completed", "failed", "cancelled"];

export function hasEnded(operation: { status: OperationStatus }): boolean {
  return ENDED.includes(operation.status);
}

/** Options of a query that asks for an operation until it ends. */
export function operationQuery<T extends { status: OperationStatus }>(
  kind: "dataset_generations" | "dataset_merges" | "dataset_cleanings" | "dataset_diffs",
  id: string,
) {
  return {
    queryKey: [kind, id],
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      client.get<T>(`/${kind}/${encodeURIComponent(id)}`, { signal }),
    refetchInterval: (query: { state: { data: T | undefined } }) =>
      query.state.data && hasEnded(query.state.data) ? false : 1000,
  } as const;
}
