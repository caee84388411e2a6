/** Faults of files in words. Those without a text in the catalog have the service's, in English. */

import type { ReportIssue } from "@finetuned/client";
import { i18n, textOf } from "#lib/i18n.svelte.ts";

export interface Words {
  message: string;
  fix: string;
  /** Language of the texts, if it is not the page's. */
  lang: "en" | undefined;
  fixLang: "en" | undefined;
}

export function wordsOf(issue: ReportIssue): Words {
  const figures = issue.figures ?? {};
  const known = textOf(`files.fault_of.${issue.code}`, figures);
  const fix = textOf(`files.fix_of.${issue.code}`, figures);
  const foreign = i18n.language.tag === "en" ? undefined : "en";
  return {
    message: known ?? issue.message,
    fix: fix ?? issue.fix,
    lang: known ? undefined : foreign,
    fixLang: fix ? undefined : foreign,
  };
}
