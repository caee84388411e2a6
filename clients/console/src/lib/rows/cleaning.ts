/** Options of a cleaning in the address of its page, and what they would do to a file. */

import type { CreateDatasetCleaning, DatasetReportContent } from "@finetuned/client";
import type { ReportFigures } from "./figures.ts";

export type CleanOptions = Required<
  Pick<
    CreateDatasetCleaning,
    | "use_reviews"
    | "drop_broken"
    | "exact_duplicates"
    | "near_duplicates"
    | "near_threshold"
    | "contradictions"
    | "personal_data"
    | "possible_personal_data"
    | "mend_mojibake"
    | "drop_control_characters"
    | "unicode"
    | "validation_share"
  >
>;

/** What is set at first: what repairs the findings of the file, and drops nothing but copies. */
export function usualOptions(figures: ReportFigures, hasDecisions: boolean): CleanOptions {
  const has = (code: string) => (figures.counts[code] ?? 0) > 0;
  return {
    use_reviews: hasDecisions,
    drop_broken: true,
    exact_duplicates: true,
    near_duplicates: false,
    near_threshold: 0.8,
    contradictions: "keep",
    personal_data: has("personal_data") ? "mask" : "keep",
    possible_personal_data: false,
    mend_mojibake: has("mojibake"),
    drop_control_characters: has("control_character"),
    unicode: "keep",
    validation_share: 0,
  };
}

/** The options of an address; what it does not name is as usual. */
export function optionsOf(params: URLSearchParams | ReadonlyParams, usual: CleanOptions) {
  const options: Record<string, unknown> = { ...usual };
  for (const [name, value] of Object.entries(usual)) {
    const given = params.get(name);
    if (given === null) continue;
    if (typeof value === "boolean") options[name] = given === "true";
    else if (typeof value === "number") options[name] = Number(given) || 0;
    else options[name] = given;
  }
  return options as CleanOptions;
}
type ReadonlyParams = { get: (name: string) => string | null };

export interface Preview {
  kept: number;
  dropped: number;
  changed: number;
  /** Whether the report does not list all findings, so that the numbers are lower limits. */
  isLeast: boolean;
}

interface Decided {
  rejected: ReadonlySet<number>;
  edited: ReadonlySet<number>;
  protected: ReadonlySet<number>;
}

/** What a cleaning would do, as far as the report says. */
export function previewOf(
  report: DatasetReportContent,
  figures: ReportFigures,
  options: CleanOptions,
  decided: Decided,
): Preview {
  const dropped = new Set<number>();
  const changed = new Set<number>();
  const linesOf = (code: string) =>
    [...report.findings, ...report.validation.issues].flatMap((issue) =>
      issue.code === code && issue.line !== null ? [issue.line] : [],
    );
  if (options.use_reviews) {
    decided.rejected.forEach((line) => dropped.add(line));
    decided.edited.forEach((line) => changed.add(line));
  }
  const drop = (lines: readonly number[]) => {
    for (const line of lines) {
      if (!options.use_reviews || !decided.protected.has(line)) dropped.add(line);
    }
  };
  for (const { severity, line } of report.validation.issues) {
    if (severity === "error" && line !== null) drop([line]);
  }
  if (options.exact_duplicates) drop(linesOf("exact_duplicate"));
  if (options.near_duplicates) drop(linesOf("near_duplicate"));
  if (options.contradictions !== "keep") drop(linesOf("contradiction"));
  const change = (code: string) => linesOf(code).forEach((line) => changed.add(line));
  if (options.personal_data !== "keep") change("personal_data");
  if (options.mend_mojibake) change("mojibake");
  if (options.drop_control_characters) change("control_character");
  const all = figures.rows + figures.broken;
  dropped.forEach((line) => changed.delete(line));
  return {
    kept: all - dropped.size,
    dropped: dropped.size,
    changed: changed.size,
    isLeast: figures.lines === null,
  };
}
