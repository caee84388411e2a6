/** Advice in words: sentences from codes and figures. */

import type { AdviceResult } from "@finetuned/client";
import { number, t, textOf } from "#lib/i18n.svelte.ts";

export interface Sentence {
  text: string;
  /** `en` for a sentence of the service that has no translation here. */
  lang: "en" | undefined;
}

export function metricName(metric: string | null | undefined): string {
  return textOf(`train.metric.${metric}`) ?? metric ?? "";
}

/** The sentence of a result: of its code and figures, or the English one of the service. */
export function sentenceOf(result: AdviceResult): Sentence {
  const f = (result.figures ?? {}) as Record<string, unknown>;
  const count = (name: string): number => Number(f[name] ?? 0);
  const points = (name: string): string => number(Number(f[name] ?? 0), 0);
  const ours = (text: string): Sentence => ({ text, lang: undefined });
  switch (result.code) {
    case "fix_data":
      return {
        text: t("train.advice.fix_data", { finding: String(f["title"] ?? "") }),
        lang: undefined,
      };
    case "too_few_rows_for_a_job":
    case "few_rows":
      return ours(
        t(`train.advice.${result.code}`, { rows: count("rows"), needed: count("rows_needed") }),
      );
    case "base_solves_it":
    case "prompt_solves_it":
      return ours(
        t(`train.advice.${result.code}`, { points: points("points"), rows: count("rows") }),
      );
    case "answers_are_facts":
      return ours(
        t("train.advice.answers_are_facts", {
          facts: count("facts"),
          rows: count("rows"),
          found: count("found"),
        }),
      );
    case "prompt_for_now":
      return ours(
        t("train.advice.prompt_for_now", {
          points: points("points"),
          rows: count("training_rows"),
        }),
      );
    case "train_without_scores":
    case "train_without_answers":
      return ours(t(`train.advice.${result.code}`));
    case "train": {
      const given = { metric: metricName(String(f["metric"])), rows: count("rows") };
      const [base, prompt] = ["base_points", "prompt_points"].map((name) =>
        f[name] === undefined ? null : points(name),
      );
      if (base && prompt) return ours(t("train.advice.train", { ...given, base, prompt }));
      if (base) return ours(t("train.advice.train_base", { ...given, base }));
      return { text: result.sentence, lang: "en" };
    }
    default:
      return { text: result.sentence, lang: "en" };
  }
}

export type Tone = "success" | "warning" | "neutral";

/** How a recommendation is shown: only `train` is a yes. */
export function toneOf(result: AdviceResult): Tone {
  return result.recommendation === "train" ? "success" : "warning";
}
