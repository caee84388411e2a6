/** Estimates of trainings, which several parts of the page show. */

import type { CreateFineTuningJob, FineTuningEstimate } from "@finetuned/client";
import { client, faultOf } from "#lib/api.ts";
import { duration } from "#lib/i18n.svelte.ts";

const MOST_ATTEMPTS = 40;
const POLL_MS = 1500;

/** Options of a query. The service answers `not_ready` while it checks and measures the rows. */
export function estimateQuery(body: CreateFineTuningJob, isEnabled: boolean) {
  return {
    queryKey: ["fine_tuning.estimate", body],
    enabled: isEnabled,
    staleTime: 60_000,
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      client.fineTuning.estimate(body, { signal, maxRetries: 0 }),
    retry: (count: number, error: Error) =>
      count < MOST_ATTEMPTS && faultOf(error).code === "not_ready",
    retryDelay: POLL_MS,
  };
}

let last: Promise<unknown> = Promise.resolve();

/** Options of a query that waits for the others: those of many models measure the same rows. */
export function estimateInTurn(body: CreateFineTuningJob, isEnabled: boolean) {
  const options = estimateQuery(body, isEnabled);
  return {
    ...options,
    queryFn: (context: { signal: AbortSignal }): Promise<FineTuningEstimate> => {
      const turn = last.then(() => {
        context.signal.throwIfAborted();
        return options.queryFn(context);
      });
      last = turn.catch(() => undefined);
      return turn;
    },
  };
}

/** Why the service chose a value, by parameter: of `learning_rate auto → 0.001: a base model …`. */
export function reasonsOf(estimate: FineTuningEstimate | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const reason of estimate?.reasons ?? []) {
    const match = /^([\w.]+) (?:auto|[\d.,]+) → .+?: (.*)$/s.exec(reason);
    if (match) found[match[1] as string] = match[2] as string;
  }
  return found;
}

/** The settings that would make a training fit, of the advice of an estimate; null for none. */
export function fittingSettings(advice: string | null): Record<string, string> | null {
  const found: Record<string, string> = {};
  if (advice?.includes('quantization to "nf4"')) found["quantization"] = "nf4";
  const length = /max_seq_length to (\d+)/.exec(advice ?? "")?.[1];
  if (length) found["max_seq_length"] = length;
  const batch = /batch_size to (\d+)/.exec(advice ?? "")?.[1];
  if (batch) found["batch_size"] = batch;
  return Object.keys(found).length > 0 ? found : null;
}

/** An estimated duration without false precision: `3 min`, not `2 min 53 sec`. */
export function roughly(seconds: number): string {
  const [MINUTE, HOUR] = [60, 3600];
  const step = seconds < 90 ? 5 : seconds < 2 * HOUR ? MINUTE : seconds < 24 * HOUR ? 600 : HOUR;
  return duration(Math.max(step, Math.round(seconds / step) * step));
}
