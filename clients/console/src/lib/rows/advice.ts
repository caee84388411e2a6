/** Recommendations of a report in the language of the page, each with what a click does about it. */

import type { ReportAdvice } from "@finetuned/client";
import { languageName, percent, t, textOf } from "#lib/i18n.svelte.ts";
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

/** What sentences say about the figures of a recommendation. */
function wordsOf(figures: Figures): Record<string, string | number> {
  const names = (name: string): string[] => (figures[name] as string[] | undefined) ?? [];
  return {
    ...(figures as Record<string, string | number>),
    error: findingName(String(figures["most_common_error"] ?? "")),
    language: languageName(String(figures["language"] ?? figures["main_language"] ?? "")),
    languages: names("languages").map(languageName).join(", "),
    models: names("models").join(", "),
    share: percent(Number(figures["byte_fallback_share"] ?? 0)),
  };
}

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
  const key = `rows.advice.${advice.variant ?? advice.code}`;
  const words = advice.figures ? wordsOf(advice.figures) : null;
  const [title, text] = words ? [textOf(key, words), textOf(`${key}_text`, words)] : [null, null];
  return {
    title: title ?? advice.title,
    text: text ?? advice.text,
    isEnglish: title === null || text === null,
    links: linksOf(advice, base),
  };
}
