/** The report of an evaluation: everything that it measured, and what is computed from it. */

import { number } from "#lib/i18n.svelte.ts";

export interface Answer {
  text: string;
  tool_calls?: { function?: { name?: unknown; arguments?: unknown } }[];
  finish_reason?: string | null;
  prompt_tokens?: number;
  completion_tokens?: number;
  latency_s?: number | null;
  scores?: Record<string, number | null>;
  error?: string | null;
}

export interface Message {
  role?: string;
  content?: unknown;
  tool_calls?: unknown;
}

export interface ReportRow {
  line?: number | null;
  prompt: Message[];
  reference: string;
  language?: string | null;
  answers: Record<string, Answer>;
  /** Number of labels in place of personal data. */
  masked_values?: number;
}

export interface ReportColumn {
  name: string;
  model: string;
  step?: number | null;
  system_prompt?: string | null;
  example_lines?: number[];
  nearest_examples?: number;
  is_baseline?: boolean;
  loss?: number | null;
}

export interface Metric {
  name: string;
  kind: "continuous" | "binary";
  higher_is_better?: boolean;
  primary?: boolean;
}

export interface Report {
  job_id?: string | null;
  model: string;
  base_model: string;
  columns: ReportColumn[];
  metrics: Metric[];
  rows: ReportRow[];
  train_rows?: number | null;
  forgetting?: {
    rows: number;
    change: number;
    low: number;
    high: number;
    languages: { language: string; rows: number; base: number; tuned: number }[];
  } | null;
  memorization?: {
    canaries_planted?: number;
    canaries_returned?: number;
    rows_probed?: number;
    verbatim?: number;
    near?: number;
    verbatim_lines?: number[];
    near_lines?: number[];
    personal?: { line: number; kinds: string[] }[];
  } | null;
  notes?: string[];
  note_details?: { code: string; figures?: Record<string, unknown> }[];
}

/** A paired difference between two columns, on the scale of scores from -1 to 1. */
export interface Difference {
  metric: string;
  a: string;
  b: string;
  language?: string | null;
  mean: number;
  low: number;
  high: number;
  adjusted_p: number;
  n: number;
  clusters: number;
  better: number;
  equal: number;
  worse: number;
  much_worse?: number;
  detectable?: number | null;
}

/** A row with the tuned model's score minus those of base and prompt; null if an answer failed. */
export interface RankedRow {
  row: ReportRow;
  key: string;
  metric: Metric;
  against: Record<"base" | "prompt", number | null>;
}

// An answer that loses this much is another answer, not another wording.
const MUCH_WORSE = 0.2;
const EQUAL = 1e-9;

export function primaryOf(report: Report): Metric {
  return report.metrics.find((metric) => metric.primary) ?? (report.metrics[0] as Metric);
}

export function scoreOf(row: ReportRow, column: string, metric: Metric): number | null {
  const answer = row.answers[column];
  if (!answer || answer.error) return null;
  return answer.scores?.[metric.name] ?? null;
}

/** The rows in the order of the file, each with the first metric that scores it. */
export function rankedRows(report: Report): RankedRow[] {
  const metrics = [primaryOf(report), ...report.metrics];
  return report.rows.map((row, index) => {
    const columns = Object.keys(row.answers);
    const metric =
      metrics.find((each) => columns.some((name) => scoreOf(row, name, each) !== null)) ??
      (metrics[0] as Metric);
    const sign = metric.higher_is_better === false ? -1 : 1;
    const tuned = scoreOf(row, "tuned", metric);
    const difference = (rival: string): number | null => {
      const other = scoreOf(row, rival, metric);
      return tuned === null || other === null ? null : sign * (tuned - other);
    };
    const against = { base: difference("base"), prompt: difference("prompt") };
    return { row, key: String(row.line ?? `row-${index + 1}`), metric, against };
  });
}

export const SHOWN = [
  "all",
  "much_worse",
  "worse",
  "better",
  "equal",
  "changed",
  "failed",
] as const;
export type Shown = (typeof SHOWN)[number];
export const ORDERS = ["worst", "best", "file"] as const;
export type Order = (typeof ORDERS)[number];

export interface Filters {
  shown: Shown;
  order: Order;
  against: "base" | "prompt";
  language: string;
}

function isShown({ row, against }: RankedRow, filters: Filters): boolean {
  if (filters.language && (row.language ?? "") !== filters.language) return false;
  const difference = against[filters.against];
  switch (filters.shown) {
    case "all":
      return true;
    case "failed":
      return difference === null;
    case "changed":
      return textOfAnswer(row.answers["tuned"]) !== textOfAnswer(row.answers[filters.against]);
    case "much_worse":
      return difference !== null && difference <= -MUCH_WORSE + EQUAL;
    case "worse":
      return difference !== null && difference < -EQUAL;
    case "better":
      return difference !== null && difference > EQUAL;
    case "equal":
      return difference !== null && Math.abs(difference) <= EQUAL;
  }
}

/** The rows that the filters choose. Rows without a difference, since an answer failed, are worst. */
export function chosenRows(rows: readonly RankedRow[], filters: Filters): RankedRow[] {
  const found = rows.filter((row) => isShown(row, filters));
  if (filters.order === "file") return found;
  const sign = filters.order === "worst" ? 1 : -1;
  const value = ({ against }: RankedRow) => against[filters.against] ?? -2;
  const tuned = ({ row, metric }: RankedRow) => scoreOf(row, "tuned", metric) ?? -1;
  return found.sort((a, b) => sign * (value(a) - value(b)) || sign * (tuned(a) - tuned(b)));
}

/** The mean score of a column in points, over the rows that it answered; null if there is none. */
export function meanScore(report: Report, column: string): number | null {
  const metric = primaryOf(report);
  const scores = report.rows
    .map((row) => scoreOf(row, column, metric))
    .filter((score) => score !== null);
  if (scores.length === 0) return null;
  return (scores.reduce((sum, score) => sum + score, 0) / scores.length) * 100;
}

/** Mean tokens and seconds per answer of a column; null if it has no answers. */
export function costOf(report: Report, column: string) {
  const answers = report.rows
    .map((row) => row.answers[column])
    .filter((answer) => answer !== undefined && !answer.error);
  if (answers.length === 0) return null;
  const mean = (values: number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;
  const timed = answers.map((answer) => answer?.latency_s).filter((s) => typeof s === "number");
  return {
    prompt: mean(answers.map((answer) => answer?.prompt_tokens ?? 0)),
    completion: mean(answers.map((answer) => answer?.completion_tokens ?? 0)),
    seconds: timed.length === 0 ? null : mean(timed),
  };
}

/** An answer as a person reads it: its text, then its tool calls. */
export function textOfAnswer(answer: Answer | undefined): string {
  if (!answer) return "";
  const calls = (answer.tool_calls ?? []).map((call) => callText(call.function));
  return [answer.text, ...calls].filter((part) => part !== "").join("\n");
}

function callText(call: { name?: unknown; arguments?: unknown } | undefined): string {
  const given = call?.arguments;
  return `${String(call?.name ?? "")}(${typeof given === "string" ? given : JSON.stringify(given ?? {})})`;
}

/** The text of a chat message; parts that are not text are shown as JSON. */
export function textOfMessage({ content, tool_calls: calls }: Message): string {
  const part = (each: unknown): string => {
    if (typeof each === "string") return each;
    const text = (each as { text?: unknown } | null)?.text;
    return typeof text === "string" ? text : JSON.stringify(each);
  };
  const parts = content == null ? [] : Array.isArray(content) ? content.map(part) : [part(content)];
  if (Array.isArray(calls) && calls.length > 0) parts.push(JSON.stringify(calls));
  return parts.join("\n");
}

/** A score from 0 to 1 in points. */
export function points(score: number): string {
  return number(score * 100, 0);
}
