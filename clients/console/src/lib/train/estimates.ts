/** Estimates of trainings, which several parts of the page show. */

import type { CreateFineTuningJob, FineTuningEstimate } from "@finetuned/client";
import { client, faultOf } from "#lib/api.ts";
import { duration, number, textOf } from "#lib/i18n.svelte.ts";

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

/** The sentence of a reason, from its code and figures; null if it is unknown. */
export function reasonText(code: string, figures: Record<string, unknown>): string | null {
  const parameters = Number(figures["parameters"] ?? 0) / 1e9;
  return textOf(`train.reason.${code}`, {
    ...(figures as Record<string, string | number>),
    parameters: number(parameters, parameters < 1 ? 2 : parameters < 10 ? 1 : 0),
  });
}

/** Why the service chose a value, by parameter. */
export function reasonsOf(estimate: FineTuningEstimate | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { parameter, code, figures } of estimate?.reason_details ?? []) {
    const text = reasonText(code, figures);
    if (text !== null) found[parameter] = text;
  }
  return found;
}

/** The settings that would make a training fit; null for none. */
export function fittingSettings(
  estimate: FineTuningEstimate | undefined,
): Record<string, string> | null {
  const given = Object.entries(estimate?.fitting_settings ?? {}).filter(
    ([, value]) => value != null,
  );
  return given.length > 0 ? Object.fromEntries(given.map(([name, v]) => [name, String(v)])) : null;
}

/** An estimated duration without false precision: `3 min`, not `2 min 53 sec`. */
export function roughly(seconds: number): string {
  const [MINUTE, HOUR] = [60, 3600];
  const step = seconds < 90 ? 5 : seconds < 2 * HOUR ? MINUTE : seconds < 24 * HOUR ? 600 : HOUR;
  return duration(Math.max(step, Math.round(seconds / step) * step));
}
