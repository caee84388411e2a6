/** The texts of a row, whatever its shape, each with the JSON Pointer to it. */

import type { FileRowFinding, MarkedRow } from "@finetuned/client";

/** One text of a row. `role` has a text under `rows.role`. */
export interface Turn {
  role: string;
  pointer: string;
  text: string;
  /** Whether the text is JSON, such as the calls of tools. */
  isCode: boolean;
}

type Json = Record<string, unknown>;

function json(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function messages(list: unknown, at: string, rename?: string): Turn[] {
  if (!Array.isArray(list)) return [];
  return (list as Json[]).flatMap((message, index) => {
    const pointer = `${at}/${index}`;
    const role = rename ?? String(message["role"] ?? "");
    const turns: Turn[] = [];
    const { content, tool_calls: calls } = message;
    if (Array.isArray(content)) {
      (content as Json[]).forEach((part, number) => {
        const text = json(part["text"] ?? part);
        turns.push({ role, pointer: `${pointer}/content/${number}/text`, text, isCode: false });
      });
    } else if (content != null || !calls) {
      const text = json(content ?? "");
      turns.push({ role, pointer: `${pointer}/content`, text, isCode: false });
    }
    if (calls) {
      turns.push({ role, pointer: `${pointer}/tool_calls`, text: json(calls), isCode: true });
    }
    return turns;
  });
}

/** All texts of a row in the order in which a person reads them. */
export function turnsOf(row: Json): Turn[] {
  const input = (row["input"] ?? row) as Json;
  const at = row["input"] ? "/input" : "";
  const turns = [
    ...messages(input["messages"], `${at}/messages`),
    ...messages(row["preferred_output"], "/preferred_output", "preferred"),
    ...messages(row["non_preferred_output"], "/non_preferred_output", "rejected"),
  ];
  if (typeof row["text"] === "string") {
    turns.push({ role: "text", pointer: "/text", text: row["text"], isCode: false });
  }
  if (row["item"] !== undefined) {
    turns.push({ role: "item", pointer: "/item", text: json(row["item"]), isCode: true });
  }
  if (typeof row["label"] === "boolean") {
    turns.push({ role: "label", pointer: "/label", text: String(row["label"]), isCode: true });
  }
  if (input["tools"] != null) {
    turns.push({ role: "tools", pointer: `${at}/tools`, text: json(input["tools"]), isCode: true });
  }
  return turns;
}

/** What a list shows of a row: enough to recognize it, and little to keep. */
export interface RowSummary {
  line: number;
  language: string | null;
  score: number | null;
  findings: FileRowFinding[];
  hasPersonalData: boolean;
  isBroken: boolean;
  /** Whether the line has no row at all, so that there is nothing to decide. */
  isBlank: boolean;
  question: string;
  answer: string;
}

const SUMMARY_CHARACTERS = 240;

export function summaryOf(marked: MarkedRow): RowSummary {
  const turns = marked.row ? turnsOf(marked.row) : [];
  const last = (roles: string[]) => turns.filter(({ role }) => roles.includes(role)).at(-1)?.text;
  const short = (text: string | undefined) => (text ?? "").trim().slice(0, SUMMARY_CHARACTERS);
  return {
    line: marked.line,
    language: marked.language,
    score: marked.score,
    findings: marked.findings,
    hasPersonalData: marked.personal_data.length > 0,
    isBroken: marked.row === null,
    isBlank: marked.row === null && marked.score === null,
    question: short(last(["user", "text"])),
    answer: short(last(["assistant", "preferred", "item"])),
  };
}
