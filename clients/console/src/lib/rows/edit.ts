/** Edits of a row: its texts as fields, and back to the row that they make. */

import { turnsOf, type Turn } from "./row.ts";

export type Row = Record<string, unknown>;

/** A text of the row as a person edits it. */
export interface EditField extends Turn {
  /** Whether the value in the row is JSON, so that the text must be. */
  isJson: boolean;
}

function keysOf(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function valueAt(row: Row, pointer: string): unknown {
  return keysOf(pointer).reduce<unknown>((owner, key) => (owner as Row | null)?.[key], row);
}

export function fieldsOf(row: Row): EditField[] {
  return turnsOf(row).map((turn) => {
    const value = valueAt(row, turn.pointer);
    return { ...turn, isJson: value != null && typeof value !== "string" };
  });
}

/** Codes of what is wrong with a field, with texts under `rows.fault`. */
export type Fault = "not_json" | "empty_answer" | "empty_question";

const ANSWERS = ["assistant", "preferred", "rejected"];

export function faultsOf(fields: readonly EditField[]): Map<string, Fault> {
  const faults = new Map<string, Fault>();
  for (const { pointer, role, text, isJson } of fields) {
    if (isJson) {
      try {
        JSON.parse(text);
      } catch {
        faults.set(pointer, "not_json");
      }
    } else if (text.trim() === "" && ANSWERS.includes(role)) {
      faults.set(pointer, "empty_answer");
    } else if (text.trim() === "" && (role === "user" || role === "text")) {
      faults.set(pointer, "empty_question");
    }
  }
  return faults;
}

/** The row with the texts of the fields. */
export function editedRow(row: Row, fields: readonly EditField[]): Row {
  const edited = structuredClone(row);
  for (const { pointer, text, isJson } of fields) {
    const keys = keysOf(pointer);
    const last = keys.pop() as string;
    const owner = keys.reduce<unknown>((each, key) => (each as Row)[key], edited) as Row;
    owner[last] = isJson ? JSON.parse(text) : text;
  }
  return edited;
}
