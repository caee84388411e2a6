/** Curves of jobs: which metrics a chart shows, on common steps, and smoothed. */

import type { JobMetrics } from "@finetuned/client";

type Values = (number | null | undefined)[];
export type MetricSeries = JobMetrics["metrics"][string];

/** The charts in their order: metrics of training rows and of held-out rows side by side. */
export const CHARTS = [
  { name: "loss", train: "train_loss", held: ["valid_loss", "full_valid_loss"] },
  {
    name: "accuracy",
    train: "train_mean_token_accuracy",
    held: ["valid_mean_token_accuracy", "full_valid_mean_token_accuracy"],
  },
  { name: "reward", train: "train_reward_mean", held: ["valid_reward_mean"] },
  {
    name: "reward_accuracy",
    train: "train_reward_accuracy",
    held: ["valid_reward_accuracy", "full_valid_reward_accuracy"],
  },
  {
    name: "reward_margin",
    train: "train_reward_margin",
    held: ["valid_reward_margin", "full_valid_reward_margin"],
  },
  { name: "learning_rate", train: "learning_rate", held: [] },
  { name: "speed", train: "tokens_per_second", held: [] },
] as const;

/** Put series on the union of their steps. Where one was not measured, it is undefined. */
export function onCommonSteps(series: readonly MetricSeries[]): {
  steps: number[];
  at: (values: readonly number[], index: number) => Values;
} {
  const steps = [...new Set(series.flatMap(({ step }) => step))].sort((a, b) => a - b);
  const places = new Map(steps.map((step, place) => [step, place]));
  return {
    steps,
    at: (values, index) => {
      const spread: Values = new Array<undefined>(steps.length).fill(undefined);
      series[index]?.step.forEach((step, i) => {
        spread[places.get(step) as number] = values[i];
      });
      return spread;
    },
  };
}

/** Exponential moving average without the bias towards zero at the start. */
export function smooth(values: readonly number[], weight: number): number[] {
  let [sum, share] = [0, 0];
  return values.map((value) => {
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

/**
 * Seconds of training up to each step, from the tokens between steps and the speed there. Pauses and
 * waits are not part of it.
 */
export function trainingTime(metrics: JobMetrics["metrics"]): Map<number, number> {
  const { trained_tokens: tokens, tokens_per_second: speed } = metrics;
  const times = new Map<number, number>();
  let [seconds, before] = [0, 0];
  tokens?.step.forEach((step, i) => {
    const until = tokens.last[i] ?? before;
    const perSecond = speed?.mean[i] ?? 0;
    if (perSecond > 0) seconds += Math.max(0, until - before) / perSecond;
    before = until;
    times.set(step, seconds);
  });
  return times;
}
