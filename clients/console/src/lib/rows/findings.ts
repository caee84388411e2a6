/** Findings in rows: their names, and where in the row they are. */

import type { FileRowFinding, MarkedRow } from "@finetuned/client";
import { textOf } from "#lib/i18n.svelte.ts";
import { turnsOf } from "./row.ts";
import { codeUnits, type Range } from "./segments.ts";

export type Severity = "error" | "warning" | "info";
export const SEVERITIES: readonly Severity[] = ["error", "warning", "info"];
export const TONES = { error: "danger", warning: "warning", info: "neutral" } as const;

/** Findings about a pair of rows, of which one may be enough. */
export const PAIRS = [
  "contradiction",
  "label_contradiction",
  "exact_duplicate",
  "near_duplicate",
  "same_form",
];
/** Findings that a cleaning repairs without a decision on each row. Broken rows are dropped. */
export const HANDLED = ["exact_duplicate", "personal_data", "mojibake", "control_character"];

/** The name of a kind of finding, or its code if a newer service sends one without a name. */
export function findingName(code: string): string {
  return textOf(`rows.finding.${code}`) ?? code.replaceAll("_", " ");
}

/** What to do about a kind of finding, or null if there is no text in this language. */
export function findingHelp(code: string): string | null {
  return textOf(`rows.help.${code}`);
}

/** Whether a row needs a decision of a person: it has findings that no cleaning repairs. */
export function needsDecision(row: Pick<MarkedRow, "findings"> & { isBroken: boolean }): boolean {
  if (row.isBroken) return false;
  return row.findings.some(({ code, weight }) => weight > 0 && !HANDLED.includes(code));
}

/** Findings that are about the last answer as a whole. */
const ABOUT_THE_ANSWER = [
  "refusal",
  "echo",
  "null_text",
  "broken_json",
  "schema_mismatch",
  "answer_in_other_language",
  "cut_off_answer",
];

/** What to mark in the texts, for findings that say what is wrong but not where. */
const PATTERNS: Record<string, RegExp> = {
  html: /<\/?[a-z][^<>]{0,200}>|&(?:#\d+|[a-z]+);/giu,
  placeholder: /\[[^[\]]{1,60}\]|\{\{[^{}]{0,60}\}\}|XXX+|TODO|TBD|FIXME|____+|[〇○◯]{2,}/gu,
  mojibake: /[\u00c2-\u00f4][\u0080-\u00bf\u2010-\u2122\u0152-\u0178]+/gu,
  cut_off_answer: /\S{0,24}\s*$/gu,
};

/** The parts of a text that findings are about, by the JSON Pointer of the text. */
export function rangesOf(row: MarkedRow): Map<string, Range[]> {
  const found = new Map<string, Range[]>();
  const add = (pointer: string, range: Range) => {
    found.set(pointer, [...(found.get(pointer) ?? []), range]);
  };
  if (!row.row) return found;
  const turns = turnsOf(row.row);
  const answer = turns.filter(({ role }) => role === "assistant" || role === "preferred").at(-1);
  for (const finding of row.findings) {
    const label = findingName(finding.code);
    const token = String(finding.figures["token"] ?? finding.figures["marker"] ?? "");
    for (const turn of turns) {
      const isHere = finding.pointer ? finding.pointer === turn.pointer : turn === answer;
      if (!isHere) continue;
      const pattern = PATTERNS[finding.code];
      if (token) {
        for (let at = turn.text.indexOf(token); at >= 0; at = turn.text.indexOf(token, at + 1)) {
          add(turn.pointer, { start: at, end: at + token.length, kind: "finding", label });
        }
      } else if (pattern) {
        for (const { index, 0: match } of turn.text.matchAll(pattern)) {
          add(turn.pointer, { start: index, end: index + match.length, kind: "finding", label });
        }
      } else if (ABOUT_THE_ANSWER.includes(finding.code)) {
        add(turn.pointer, { start: 0, end: turn.text.length, kind: "finding", label });
      }
    }
  }
  for (const mark of row.personal_data) {
    const turn = turns.find(({ pointer }) => pointer === mark.pointer);
    if (!turn) continue;
    const isWhole = mark.end === 0;
    const range = isWhole
      ? { start: 0, end: turn.text.length }
      : codeUnits(turn.text, mark.start, mark.end);
    const mask = `[${mark.kind.toUpperCase()}]`;
    add(mark.pointer, { ...range, kind: "personal", label: kindName(mark.kind), mask });
  }
  return found;
}

/** The name of a kind of personal data, or that of the project's recognizer. */
export function kindName(kind: string): string {
  return textOf(`rows.kind.${kind}`) ?? kind.replaceAll("_", " ");
}

/** The finding of a row that is about a pair of rows, the most severe first. */
export function pairOf(findings: readonly FileRowFinding[]): FileRowFinding | undefined {
  const pairs = findings.filter((one) => PAIRS.includes(one.code) && one.other_line !== null);
  return pairs.sort((a, b) => PAIRS.indexOf(a.code) - PAIRS.indexOf(b.code))[0];
}
