/** What the playground begins with: the columns of an address, the best prompt, first questions. */

import type { FineTuningJob } from "@finetuned/client";
import { client } from "#lib/api.ts";
import { modelOfCheckpoint } from "#lib/models/names.ts";
import { session } from "#lib/session.svelte.ts";
import type { Message } from "./chat.ts";
import { MOST_COLUMNS, newColumn, type Column } from "./conversation.svelte.ts";

const FIRST_QUESTIONS = 3;
const MOST_FILE_BYTES = 4 * 1024 * 1024;

interface Report {
  rows: { prompt: { role: string; content: unknown }[] }[];
  columns: {
    name: string;
    system_prompt?: string;
    example_lines?: number[];
    nearest_examples?: number;
  }[];
}

/** What a trained model's job says about how to ask its base model, and what to ask. */
export interface JobHints {
  base: string;
  prompt: BestPrompt | null;
  questions: string[];
}

/** Reads hints, or finds those that were read a moment ago. */
export type HintsOf = (name: string) => Promise<JobHints | null>;

export interface BestPrompt {
  system: string;
  examples: Message[];
  /** Number of training rows that the prompt shows with each question: the most similar ones. */
  nearest: number;
}

/** The columns for an address: `?model=` one or several; a trained model is shown beside its base. */
export async function columnsOf(
  models: string[],
  columns: string[],
  hintsOf: HintsOf,
): Promise<Column[]> {
  if (columns.length > 0) {
    const made = columns.slice(0, MOST_COLUMNS).map(async (name) => {
      if (!name.startsWith("prompt:")) return newColumn(name);
      return promptColumn(name.slice("prompt:".length), hintsOf);
    });
    return (await Promise.all(made)).filter((column) => column !== null);
  }
  const [only, ...more] = models.length > 0 ? models : await latest();
  if (only === undefined) return [];
  if (more.length > 0) return [only, ...more].slice(0, MOST_COLUMNS).map((name) => newColumn(name));
  const hints = await hintsOf(only);
  if (!hints) return [newColumn(only)];
  return [
    newColumn(hints.base),
    ...(hints.prompt ? [columnOf(hints.base, hints.prompt, only)] : []),
    newColumn(only),
  ];
}

/** The address of the columns: names of models only, never a prompt. */
export function addressOf(columns: Column[]): string {
  const parameters = new URLSearchParams();
  for (const { model, promptOf } of columns) {
    if (model) parameters.append("column", promptOf ? `prompt:${promptOf}` : model);
  }
  return parameters.size > 0 ? `?${parameters}` : "";
}

async function promptColumn(tuned: string, hintsOf: HintsOf): Promise<Column | null> {
  const hints = await hintsOf(tuned);
  return hints?.prompt ? columnOf(hints.base, hints.prompt, tuned) : null;
}

function columnOf(base: string, prompt: BestPrompt, tuned: string): Column {
  const { system, examples, nearest } = prompt;
  return newColumn(base, { system, examples, nearest, promptOf: tuned });
}

async function latest(): Promise<string[]> {
  for (const kind of ["trained", "base"] as const) {
    const { data } = await client.models.list({ kind: [kind], limit: 1 });
    if (data[0]) return [data[0].id];
  }
  return [];
}

/** Hints of a trained model's job; null if it has none, or the role may not read it. */
export async function readHints(name: string): Promise<JobHints | null> {
  const model = await client.models.retrieve(modelOfCheckpoint(name)).catch(() => null);
  const target = model?.alias_of?.find(({ model: each }) => each.startsWith("ft:"));
  if (target) return readHints(target.model);
  if (!model?.base_model) return null;
  const base = model.base_model;
  const nothing = { base, prompt: null, questions: [] };
  const isOwn = model.owned_by === session.caller?.project.name;
  if (!model.fine_tuning_job || !isOwn || !session.can("data.read")) return nothing;
  const job = await client.fineTuning.jobs.retrieve(model.fine_tuning_job).catch(() => null);
  if (!job) return nothing;
  const report = await reportOf(job.id);
  if (!report) return { ...nothing, questions: await questionsOfFile(job.validation_file) };
  const best = report.columns.find(({ name: each }) => each === "prompt");
  const prompt = best
    ? {
        system: best.system_prompt ?? "",
        examples: await examplesOf(job, best.example_lines ?? []),
        nearest: best.nearest_examples ?? 0,
      }
    : null;
  const asked = report.rows.map(({ prompt: messages }) => lastQuestion(messages));
  return { base, prompt, questions: distinct(asked) };
}

async function reportOf(jobId: string): Promise<Report | null> {
  try {
    const { status } = await client.fineTuning.jobs.evaluation.retrieve(jobId);
    if (status !== "completed") return null;
    const response = await client.fineTuning.jobs.evaluation.report(jobId, { format: "json" });
    return (await response.json()) as Report;
  } catch {
    return null;
  }
}

/** The rows of the training file that the best prompt shows, as messages. */
async function examplesOf(job: FineTuningJob, lines: number[]): Promise<Message[]> {
  if (lines.length === 0) return [];
  const rows = await rowsOf(job.training_file);
  return lines.flatMap((line) =>
    messagesOf(rows[line - 1]).filter(({ role }) => role !== "system"),
  );
}

async function questionsOfFile(id: string | null | undefined): Promise<string[]> {
  if (!id) return [];
  const rows = await rowsOf(id);
  return distinct(rows.slice(0, 20).map((row) => lastQuestion(messagesOf(row))));
}

/** The lines of a small file of rows; none if it is large or cannot be read. */
async function rowsOf(fileId: string): Promise<string[]> {
  try {
    const { bytes } = await client.files.retrieve(fileId);
    if (bytes > MOST_FILE_BYTES) return [];
    return (await (await client.files.content(fileId)).text()).split("\n");
  } catch {
    return [];
  }
}

function messagesOf(line: string | undefined): Message[] {
  try {
    const { messages } = JSON.parse(line ?? "") as { messages?: Message[] };
    return (messages ?? []).filter(({ content }) => typeof content === "string");
  } catch {
    return [];
  }
}

function lastQuestion(messages: { role: string; content: unknown }[]): string {
  const content = messages.findLast(({ role }) => role === "user")?.content;
  return typeof content === "string" ? content : "";
}

function distinct(questions: string[]): string[] {
  return [...new Set(questions.filter((text) => text !== ""))].slice(0, FIRST_QUESTIONS);
}
