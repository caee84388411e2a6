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

export function hasEnded({ status }: { status: OperationStatus }): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

/** Interval of a query that asks for an operation, or for several, until all have ended. */
export function untilEnded(ms: number) {
  return ({ state }: { state: { data: Running | Running[] | null | undefined } }) =>
    [state.data ?? []].flat().every(hasEnded) ? false : ms;
}
type Running = { status: OperationStatus };

/** Options of a query that asks for an operation until it ends. */
export function operationQuery<T extends { status: OperationStatus }>(
  kind: "dataset_generations" | "dataset_merges" | "dataset_cleanings" | "dataset_diffs",
  id: string,
) {
  return {
    queryKey: [kind, id],
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      client.get<T>(`/${kind}/${encodeURIComponent(id)}`, { signal }),
    refetchInterval: untilEnded(1000),
  } as const;
}
