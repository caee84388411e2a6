/** Figures of a report that the pages need: how many rows need a decision, and how many do not. */

import type { DatasetReportContent } from "@finetuned/client";
import { HANDLED } from "./findings.ts";

export interface ReportFigures {
  rows: number;
  broken: number;
  /** Lines of the rows that need a decision; null if the report does not list all findings. */
  lines: Set<number> | null;
  /** Number of rows that need a decision, at least. */
  decisions: number;
  /** Number of rows that a cleaning repairs or drops without a decision. */
  handled: number;
  /** Number of rows by the code of a finding. */
  counts: Record<string, number>;
}

function total(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

export function figuresOf(report: DatasetReportContent): ReportFigures {
  const { validation, scores } = report;
  const broken = validation.rows - validation.valid_rows;
  const counts = { ...validation.counts };
  for (const [code, count] of Object.entries(report.finding_counts)) {
    counts[code] = (counts[code] ?? 0) + count;
  }
  const weights = scores?.weights ?? {};
  const issues = [...report.findings, ...validation.issues];
  const isComplete = issues.length === total(report.finding_counts) + total(validation.counts);
  // The last bin has the rows with the best score.
  const lowered = (scores?.histogram.counts ?? []).slice(0, -1).reduce((sum, n) => sum + n, 0);
  const base = { rows: report.rows, broken, counts };
  if (!isComplete) {
    const handled = HANDLED.reduce((sum, code) => sum + (counts[code] ?? 0), broken);
    const least = Math.max(0, lowered - handled);
    return { ...base, lines: null, decisions: least, handled: Math.min(handled, lowered) };
  }
  const brokenLines = new Set(
    validation.issues.flatMap(({ severity, line }) => (severity === "error" && line ? [line] : [])),
  );
  const lines = new Set(
    issues.flatMap(({ code, line }) =>
      line && (weights[code] ?? 0) > 0 && !HANDLED.includes(code) && !brokenLines.has(line)
        ? [line]
        : [],
    ),
  );
  return { ...base, lines, decisions: lines.size, handled: Math.max(0, lowered - lines.size) };
}

/** Number of rows that still need a decision. */
export function leftOf(
  figures: ReportFigures,
  decisions: { isDecided: (line: number) => boolean; counts: () => Record<string, number> },
): number {
  if (figures.lines) {
    return [...figures.lines].filter((line) => !decisions.isDecided(line)).length;
  }
  const made = total(decisions.counts());
  return Math.max(0, figures.decisions - made);
}
