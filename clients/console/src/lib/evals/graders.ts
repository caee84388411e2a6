/** Graders as a form edits them, and as the API takes them. */

import type { ValidateGrader } from "@finetuned/client";

export type Grader = ValidateGrader["grader"];

export const TYPES = [
  "string_check",
  "text_similarity",
  "chrf",
  "language",
  "label_model",
  "score_model",
  "python",
] as const;
export type GraderType = (typeof TYPES)[number];
export const OPERATIONS = ["ilike", "like", "eq", "ne"] as const;
export const SIMILARITIES = ["fuzzy_match", "bleu", "rouge_l", "meteor"] as const;

/** What the form has. Fields that the type does not use keep what was typed. */
export interface Draft {
  key: number;
  name: string;
  type: GraderType;
  input: string;
  reference: string;
  operation: (typeof OPERATIONS)[number];
  similarity: (typeof SIMILARITIES)[number];
  threshold: number;
  model: string;
  prompt: string;
  labels: string;
  passing: string;
  source: string;
}

let next = 0;

/** A new grader, with the field of the items that looks like the expected answer. */
export function newDraft(type: GraderType, fields: readonly string[]): Draft {
  const expected =
    fields.find((name) => /answer|expected|reference|ideal|label|正解|回答/i.test(name)) ??
    fields.at(-1) ??
    "answer";
  const asked = fields.find((name) => name !== expected) ?? fields[0] ?? "question";
  const answer = "{{sample.output_text}}";
  const reference = `{{item.${expected}}}`;
  const judged = `Question: {{item.${asked}}}\n\nExpected: ${reference}\n\nAnswer: ${answer}`;
  const task =
    type === "score_model"
      ? "Rate from 0 to 1 how well the answer agrees with the expected one."
      : "Does the answer say the same as the expected one? Answer good or bad.";
  return {
    key: next++,
    name: "",
    type,
    input: answer,
    reference: type === "language" ? "en" : reference,
    operation: "ilike",
    similarity: "fuzzy_match",
    threshold: 0.5,
    model: "",
    prompt: `${task}\n\n${judged}`,
    labels: "good, bad",
    passing: "good",
    source: `def grade(sample, item):\n    return 1.0 if item["${expected}"] in sample["output_text"] else 0.0\n`,
  };
}

function listed(text: string): string[] {
  return text
    .split(/[,、\n]/)
    .map((each) => each.trim())
    .filter((each) => each !== "");
}

/** The grader of a draft. `name` is used if the draft has none. */
export function graderOf(draft: Draft, fallback: string): Grader {
  const name = draft.name.trim() || fallback;
  const { input, reference, threshold: pass_threshold } = draft;
  const messages = [{ role: "user" as const, content: draft.prompt }];
  switch (draft.type) {
    case "string_check":
      return { type: "string_check", name, input, reference, operation: draft.operation };
    case "text_similarity":
      return {
        type: "text_similarity",
        name,
        input,
        reference,
        evaluation_metric: draft.similarity,
        pass_threshold,
      };
    case "chrf":
      return { type: "chrf", name, input, reference, pass_threshold };
    case "language":
      return { type: "language", name, input, reference };
    case "label_model":
      return {
        type: "label_model",
        name,
        model: draft.model,
        input: messages,
        labels: listed(draft.labels),
        passing_labels: listed(draft.passing),
      };
    case "score_model":
      return { type: "score_model", name, model: draft.model, input: messages, pass_threshold };
    case "python":
      return { type: "python", name, source: draft.source, pass_threshold };
  }
}
