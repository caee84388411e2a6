/** What the trials of a sweep have in common, and in which order they are shown. */

import type { Sweep } from "@finetuned/client";
import { i18n, textOf } from "#lib/i18n.svelte.ts";
import { flatten } from "./form.ts";

type Trial = Sweep["trials"][number];

/** Names of the hyperparameters in which trials differ, such as `lora.r`. */
export function variedParameters(trials: readonly Trial[]): string[] {
  return [...new Set(trials.flatMap((trial) => Object.keys(flatten(trial.hyperparameters))))];
}

export function parameterLabel(name: string): string {
  return textOf(`train.parameter.${name}`) ?? name;
}

/** The same names as a list in words. */
export function variedNames(trials: readonly Trial[]): string {
  const list = new Intl.ListFormat(i18n.language.tag, { type: "unit", style: "short" });
  return list.format(variedParameters(trials).map(parameterLabel));
}

export function lowestLoss(trials: readonly Trial[]): number | null {
  const losses = trials.flatMap(({ held_out_loss }) => held_out_loss ?? []);
  return losses.length > 0 ? Math.min(...losses) : null;
}

/** The best trial first; those that were stopped after those that went on; without a loss last. */
export function bestFirst(trials: readonly Trial[]): Trial[] {
  const place = ({ stopped, held_out_loss }: Trial): number =>
    held_out_loss === null ? 2 : stopped === null ? 0 : 1;
  return trials.toSorted(
    (a, b) => place(a) - place(b) || (a.held_out_loss ?? 0) - (b.held_out_loss ?? 0),
  );
}
