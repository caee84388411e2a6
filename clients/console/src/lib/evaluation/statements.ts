/**
 * Statements of verdicts and advice in the language of the person. A statement is a code with
 * figures; its English sentence comes from the service, and codes that this console does not know
 * are shown in it. The catalog `statements` has the sentences of `docs/codes.md`, by code.
 */

import type { FineTuningVerdict } from "@finetuned/client";
import { i18n, languageName, percent, t } from "#lib/i18n.svelte.ts";
import { columnName, fixed, joined, metricName, pointsInterval } from "#lib/evaluation/wording.ts";

type Figures = Record<string, any>; // eslint-disable-line @typescript-eslint/no-explicit-any

export interface Coded {
  code: string;
  figures?: Figures;
}

// From this difference between the shares of trained and unseen facts, it learned the trained only.
const SEEN_GAP = 0.3;

/** A statement as a sentence, or null if its code is not known. */
export function sentenceOf({ code, figures = {} }: Coded): string | null {
  const message = i18n.catalog[`statements.${code}`];
  if (message === undefined) return null;
  if (typeof message === "string") return message;
  const parts = new Proxy(figures, {
    get: (known, name: string) => PARTS[name]?.(known) ?? known[name],
  });
  return message(parts, i18n.formatter);
}

export type VerdictKind = FineTuningVerdict["kind"];

/** The tone of a kind of verdict, as `Status` shows it. */
export function toneOf(kind: VerdictKind): "success" | "warning" | "danger" | "neutral" {
  switch (kind) {
    case "serve":
      return "success";
    case "worse":
    case "memorized":
      return "danger";
    case "cannot_tell":
    case "forgot":
    case "overfit":
    case "disputed":
      return "warning";
    default:
      return "neutral";
  }
}

function effect(f: Figures, kind = f["metric"] === "chrf" ? "chrf" : "other"): string {
  return t("statements.part.effect", {
    ...pointsInterval(f["points"], f["low"], f["high"]),
    kind,
    metric: metricName(f["metric"] ?? ""),
    rows: f["rows"],
    prompts: f["prompts"] < f["rows"] ? f["prompts"] : 0,
  });
}

function worse(f: Figures): string {
  return t("statements.part.much_worse", {
    worse: f["much_worse"],
    rows: f["rows"],
    at_most: percent(f["much_worse_at_most"]),
  });
}

function memorized(f: Figures): string {
  const parts: string[] = [];
  if (f["canaries_returned"]) {
    const { canaries_returned: returned, canaries_planted: planted } = f;
    parts.push(t("statements.part.canaries", { returned, planted }));
  }
  if (f["verbatim"] || f["near"]) {
    const { verbatim, near, rows_probed: probed } = f;
    parts.push(
      t("statements.part.returned_rows", { returned: verbatim + near, probed, verbatim, near }),
    );
  }
  if (f["rows_with_personal_data"]) {
    parts.push(t("statements.part.personal_rows", { rows: f["rows_with_personal_data"] }));
  }
  return joined(parts);
}

function right(f: Figures): string {
  const { unseen_right, unseen_rows, seen_right, seen_rows } = f;
  const gap = seen_rows ? seen_right / seen_rows - unseen_right / unseen_rows : 0;
  const trained = !seen_rows ? "none" : gap >= SEEN_GAP ? "but" : "and";
  return t("statements.part.right", { unseen_right, unseen_rows, seen_right, seen_rows, trained });
}

function calibration(f: Figures): string {
  const { right, pairs } = f;
  return t("statements.part.calibration", { right, pairs, by: f["is_human"] ? "people" : "rows" });
}

function languages(f: Figures): string {
  return joined(f["languages"].map(languageName));
}

function percentOf(f: Figures): string {
  const { percent, low, high } = f;
  return t("statements.part.percent", {
    percent: fixed(percent),
    low: fixed(low),
    high: fixed(high),
  });
}

function agreement(f: Figures): string {
  return t("statements.part.agreement", {
    alpha: fixed(f["alpha"], 2),
    low: fixed(f["alpha_low"], 2),
    high: fixed(f["alpha_high"], 2),
    rows: f["shared_rows"],
  });
}

/** Parts of sentences that are more than a figure, by the name of their argument. */
const PARTS: Record<string, (f: Figures) => string> = {
  agreement,
  calibration,
  column_name: (f) => columnName(f["column"]),
  effect,
  finding_title: (f) => String(f["title"]).replace(/\.$/, ""),
  gain: (f) =>
    t("statements.part.gain", {
      rival: columnName(f["rival"]),
      effect: effect(f),
      worse: worse(f),
    }),
  known_agreement: (f) =>
    f["alpha"] === undefined ? "" : t("statements.part.in_brackets", { text: agreement(f) }),
  known_scores: (f) => {
    const known = (["base", "prompt"] as const).filter((name) => f[`${name}_points`] !== undefined);
    return joined(
      known.map((name) => t(`statements.part.${name}_has`, { points: fixed(f[`${name}_points`]) })),
    );
  },
  language_effects: (f) => f["differences"].map((each: Figures) => effect(each)).join("; "),
  language_list: languages,
  loss_rise: (f) =>
    t("statements.part.loss_rise", {
      lowest: fixed(f["lowest_loss"], 2),
      name: f["lowest_loss_of"],
      final: fixed(f["final_loss"], 2),
    }),
  lost: (f) =>
    t("statements.part.lost", pointsInterval(f["lost_points"], f["lost_low"], f["lost_high"])),
  memorized,
  metric_name: (f) => metricName(f["metric"]),
  most_lost: (f) =>
    f["worst_language"] === undefined
      ? ""
      : t("statements.part.most_lost", {
          language: languageName(f["worst_language"]),
          points: fixed(f["worst_language_points"]),
        }),
  people_preferred: ({ people }) =>
    t("statements.part.people_preferred", {
      column: columnName(people["column"]),
      percent: percentOf(people),
      labels: people["labels"],
      rows: people["rows"],
      agreement: agreement(people),
    }),
  percent_interval: percentOf,
  plain_effect: (f) => effect(f, "plain"),
  power: (f) => {
    const least = f["detectable_points"];
    if (least === undefined) return t("statements.part.no_power");
    return least <= Math.abs(f["points"])
      ? ""
      : t("statements.part.power", { points: fixed(least) });
  },
  prompt: (f) =>
    t("statements.part.prompt", {
      whose: f["is_baseline"] ? "yours" : "found",
      nearest: f["nearest_examples"] ?? 0,
      examples: f["nearest_examples"] ? 0 : (f["examples"] ?? 0),
    }),
  read_worse_answers: (f) => (f["much_worse"] ? t("statements.part.read_worse_answers") : ""),
  right_answers: right,
  rival: (f) => columnName(f["rival"]),
  rounded_points: (f) => fixed(f["points"]),
  savings: (f) =>
    f["prompt_tokens"] === undefined
      ? ""
      : t("statements.part.savings", {
          tuned: fixed(f["tuned_tokens"]),
          prompt: fixed(f["prompt_tokens"]),
        }),
  score: (f) => effect({ ...f, prompts: f["rows"] }),
  share_percent: (f) => percent(f["share"]),
  tuned_effect: (f) => {
    const own = ["points", "low", "high", "rows", "prompts"];
    const figures = Object.fromEntries(own.map((name) => [name, f[`tuned_${name}`]]));
    return effect({ metric: f["metric"], ...figures });
  },
  worse_answers: (f) =>
    f["much_worse"] ? t("statements.part.in_brackets", { text: worse(f) }) : "",
};
