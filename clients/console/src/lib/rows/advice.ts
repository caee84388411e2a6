/** Recommendations of a report in the language of the page, each with what a click does about it. */

import type { ReportAdvice } from "@finetuned/client";
import { languageName, percent, t } from "#lib/i18n.svelte.ts";
import { findingName } from "./findings.ts";

export interface AdviceLink {
  text: string;
  href: string;
}

export interface AdviceText {
  title: string;
  text: string;
  /** Whether the text is the service's own, in English. */
  isEnglish: boolean;
  links: AdviceLink[];
}

type Figures = Record<string, unknown>;

const count = (figures: Figures, name: string): number => Number(figures[name] ?? 0);
const list = (names: readonly string[]): string => names.join(", ");

/** Title and text by the code of the wording. */
const WORDINGS: Record<string, (figures: Figures) => { title: string; text: string }> = {
  fix_broken_rows: (f) => ({
    title: t("rows.advice.broken", { count: count(f, "rows") }),
    text: t("rows.advice.broken_text", {
      error: findingName(String(f["most_common_error"] ?? "")),
    }),
  }),
  too_few_rows_for_a_job: (f) => ({
    title: t("rows.advice.too_few", { count: count(f, "rows") }),
    text: t("rows.advice.too_few_text", {
      needed: count(f, "rows_needed"),
      suggested: count(f, "rows_suggested"),
    }),
  }),
  few_rows: (f) => ({
    title: t("rows.advice.few", { count: count(f, "rows") }),
    text: t("rows.advice.few_text", { suggested: count(f, "rows_suggested") }),
  }),
  conflicting_labels: (f) => ({
    title: t("rows.advice.labels", { count: count(f, "groups") }),
    text: t("rows.advice.labels_text"),
  }),
  conflicting_answers: (f) => ({
    title: t("rows.advice.contradictions", { count: count(f, "groups") }),
    text: t("rows.advice.contradictions_text"),
  }),
  personal_data: (f) => ({
    title: t("rows.advice.personal", { count: count(f, "rows") }),
    text: t("rows.advice.personal_text"),
  }),
  overlap: (f) => ({
    title: t("rows.advice.overlap", { count: count(f, "rows") }),
    text: t("rows.advice.overlap_text"),
  }),
  truncation: (f) => ({
    title: t("rows.advice.truncation", { count: count(f, "rows"), limit: count(f, "limit") }),
    text: t("rows.advice.truncation_text", { count: count(f, "unlearnable_rows") }),
  }),
  too_uniform: (f) => ({
    title: t("rows.advice.uniform", { count: count(f, "copies"), rows: count(f, "rows") }),
    text: t("rows.advice.uniform_text"),
  }),
  class_imbalance: (f) => ({
    title: t("rows.advice.imbalance", { classes: count(f, "classes") }),
    text: t("rows.advice.imbalance_text", {
      largest: count(f, "largest"),
      rows: count(f, "rows"),
      smallest: count(f, "smallest"),
    }),
  }),
  few_answers: (f) => ({
    title: t("rows.advice.few_answers", { rows: count(f, "rows"), answers: count(f, "answers") }),
    text: t("rows.advice.few_answers_text"),
  }),
  facts_to_look_up: () => ({
    title: t("rows.advice.facts"),
    text: t("rows.advice.facts_text"),
  }),
  try_prompting: (f) => ({
    title: t("rows.advice.prompting"),
    text: t("rows.advice.prompting_text", { rows: count(f, "rows") }),
  }),
  one_system_prompt: (f) => ({
    title: t("rows.advice.system", { count: count(f, "prompts") }),
    text: t("rows.advice.system_text"),
  }),
  stray_languages: (f) => ({
    title: t("rows.advice.stray", { language: languageName(String(f["main_language"] ?? "")) }),
    text: t("rows.advice.stray_text", {
      languages: list(((f["languages"] as string[] | undefined) ?? []).map(languageName)),
    }),
  }),
  mojibake: (f) => ({
    title: t("rows.advice.mojibake", { count: count(f, "rows") }),
    text: t("rows.advice.mojibake_text"),
  }),
  answer_quality: (f) => ({
    title: t("rows.advice.quality", { count: count(f, "rows") }),
    text: t("rows.advice.quality_text"),
  }),
  tokenizer_fits_best: (f) => ({
    title: t("rows.advice.tokenizer", {
      model: String(f["model"] ?? ""),
      language: languageName(String(f["language"] ?? "")),
    }),
    text: t("rows.advice.tokenizer_text", { other: String(f["worst_model"] ?? "") }),
  }),
  tokenizers_fit_badly: (f) => ({
    title: t("rows.advice.tokenizers", { language: languageName(String(f["language"] ?? "")) }),
    text: t("rows.advice.tokenizers_text", {
      model: String(f["model"] ?? ""),
      share: percent(count(f, "byte_fallback_share")),
    }),
  }),
  tools_not_supported: (f) => ({
    title: t("rows.advice.tools", { count: count(f, "rows") }),
    text: t("rows.advice.tools_text", {
      models: list((f["models"] as string[] | undefined) ?? []),
    }),
  }),
};

/** What a click does about a recommendation: show its rows, or open the cleaning that repairs it. */
function linksOf(advice: ReportAdvice, base: string): AdviceLink[] {
  const figures = advice.figures ?? {};
  const rows = (issue: string, text = t("common.see_rows")): AdviceLink => ({
    text,
    href: `${base}/rows?issue=${encodeURIComponent(issue)}`,
  });
  const clean = (option: string): AdviceLink => ({
    text: t("rows.fix_in_cleaning"),
    href: `${base}/clean${option && `?${option}`}`,
  });
  switch (advice.variant ?? advice.code) {
    case "fix_broken_rows":
      return [{ text: t("common.see_rows"), href: `${base}/rows?score=0` }, clean("")];
    case "conflicting_labels":
      return [rows("label_contradiction")];
    case "conflicting_answers":
      return [rows("contradiction")];
    case "personal_data":
      return [rows("personal_data"), clean("personal_data=mask")];
    case "truncation":
      return count(figures, "unlearnable_rows") >= count(figures, "rows")
        ? [rows("nothing_left_to_learn")]
        : [rows("truncated")];
    case "too_uniform": {
      const { exact = 0, near = 0 } = advice.evidence;
      return [
        ...(exact > 0 ? [rows("exact_duplicate", findingName("exact_duplicate"))] : []),
        ...(near > 0 ? [rows("near_duplicate", findingName("near_duplicate"))] : []),
        clean(near > 0 ? "near_duplicates=true" : ""),
      ];
    }
    case "mojibake":
      return [rows("mojibake"), clean("mend_mojibake=true")];
    case "answer_quality": {
      const problems = (figures["problems"] as Record<string, number> | undefined) ?? {};
      return Object.entries(problems).map(([code, found]) =>
        rows(code, t("rows.finding_count", { name: findingName(code), count: found })),
      );
    }
    case "stray_languages":
      return ((figures["languages"] as string[] | undefined) ?? []).map((code) => ({
        text: languageName(code),
        href: `${base}/rows?show=all&language=${encodeURIComponent(code)}`,
      }));
    case "tools_not_supported":
      return [rows("tools_not_supported")];
    case "try_prompting":
    case "facts_to_look_up":
      return [{ text: t("rows.try_a_prompt"), href: "/console/playground" }];
    default:
      return [];
  }
}

/** A recommendation in words. `base` is the address of the file's pages. */
export function adviceText(advice: ReportAdvice, base: string): AdviceText {
  const wording = WORDINGS[advice.variant ?? advice.code];
  const known = advice.figures && wording ? wording(advice.figures) : null;
  return {
    title: known?.title ?? advice.title,
    text: known?.text ?? advice.text,
    isEnglish: known === null,
    links: linksOf(advice, base),
  };
}
