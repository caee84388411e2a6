/** A conversation with up to three models at once. */

import { APIUserAbortError } from "@finetuned/client";
import { deleteDraft, readDraft, writeDraft } from "#lib/drafts.ts";
import { partsOf } from "#lib/models/names.ts";
import { streamChat, type ChatRequest, type Chunk } from "./chat.ts";
import type { Message, ToolCall, Waking } from "./chat.ts";
import { faultsOfSchema, faultsOfTools, parsed } from "./json.ts";

export const MOST_COLUMNS = 3;
const DRAFT = "playground";
const TOP_TOKENS = 5;

/** A model that is asked, and what it is told before the conversation. */
export interface Column {
  key: string;
  model: string;
  system: string;
  /** Messages of the best prompt that show examples of answers. */
  examples: Message[];
  /** The trained model whose best prompt this column has. */
  promptOf: string | null;
  /** Number of similar training rows that the best prompt also shows; they are not shown here. */
  nearest: number;
}

export interface Token {
  text: string;
  logprob: number;
  top: { text: string; logprob: number }[];
}

export interface Answer {
  state: "waiting" | "streaming" | "done" | "stopped" | "failed";
  text: string;
  reasoning: string;
  calls: ToolCall[];
  tokens: Token[];
  /** The model that answered: that of an alias's targets which got the request. */
  model: string | null;
  finish: string | null;
  promptTokens: number | null;
  answerTokens: number | null;
  startedAt: number;
  firstAt: number | null;
  endedAt: number | null;
  waking: Waking | null;
  failure: unknown;
}

/** An answer, and the results that a person gave for the tools it called. */
export interface Step {
  answer: Answer;
  results: Record<string, string>;
}

export interface Turn {
  question: string;
  /** For each column by its key, its answers: more than one after calls of tools. */
  cells: Record<string, Step[]>;
}

export interface Settings {
  temperature: number | null;
  maxTokens: number | null;
  seed: number | null;
  tools: string;
  schema: string;
  odds: boolean;
  keep: boolean;
}

interface Draft {
  columns: Column[];
  turns: Turn[];
  settings: Settings;
  message: string;
  shareId: string;
}

export function newSettings(): Settings {
  return {
    temperature: null,
    maxTokens: null,
    seed: null,
    tools: "",
    schema: "",
    odds: false,
    keep: false,
  };
}

export type ColumnRole = "prompted" | "tuned" | "base" | "other";

/** What a column shows beside the others: a word of `playground.column`. */
export function roleOf(column: Column, columns: readonly Column[]): ColumnRole {
  if (column.promptOf) return "prompted";
  if (partsOf(column.model)) return "tuned";
  const isBase = columns.some(({ model }) => partsOf(model)?.base === column.model);
  return isBase ? "base" : "other";
}

let columns = 0;

export function newColumn(model: string, more: Partial<Column> = {}): Column {
  columns += 1;
  const key = `${Date.now().toString(36)}${columns}`;
  return { key, model, system: "", examples: [], promptOf: null, nearest: 0, ...more };
}

export class Conversation {
  columns: Column[] = $state([]);
  turns: Turn[] = $state([]);
  settings: Settings = $state(newSettings());
  message = $state("");
  shareId = $state(newShareId());
  readonly #running = new Map<Answer, AbortController>();
  /** Number of answers that are being written. */
  running = $state(0);

  readonly toolFaults = $derived(faultsOfTools(this.settings.tools));
  readonly schemaFaults = $derived(faultsOfSchema(this.settings.schema));

  get canSend(): boolean {
    return (
      this.message.trim() !== "" &&
      this.running === 0 &&
      this.columns.length > 0 &&
      this.columns.every(({ model }) => model !== "") &&
      this.toolFaults.length === 0 &&
      this.schemaFaults.length === 0
    );
  }

  /** Ask all columns. */
  send(): void {
    if (!this.canSend) return;
    const cells = Object.fromEntries(this.columns.map(({ key }) => [key, []]));
    this.turns.push({ question: this.message.trim(), cells });
    this.message = "";
    for (const column of this.columns) this.#answer(column, this.turns.length - 1);
  }

  /** Ask a column again, with the results of the tools that it called. */
  sendResults(column: Column, turn: number, results: Record<string, string>): void {
    const step = this.turns[turn]?.cells[column.key]?.at(-1);
    if (step) step.results = results;
    this.#answer(column, turn);
  }

  /** Have a column write on where its answer broke off. */
  continue(column: Column, turn: number): void {
    const step = this.turns[turn]?.cells[column.key]?.at(-1);
    if (step) void this.#run(column, turn, step.answer, true);
  }

  /** Replace a column's answer by a new one. */
  repeat(column: Column, turn: number): void {
    this.turns[turn]?.cells[column.key]?.pop();
    this.#answer(column, turn);
  }

  stop(): void {
    for (const connection of this.#running.values()) connection.abort();
  }

  clear(): void {
    this.stop();
    this.turns = [];
    this.shareId = newShareId();
  }

  /** The messages of a column up to a turn, of which only the first `steps` answers count. */
  messages(column: Column, upTo: number, steps = Number.POSITIVE_INFINITY): Message[] {
    const system: Message[] = column.system.trim()
      ? [{ role: "system", content: column.system }]
      : [];
    const said = this.turns.slice(0, upTo + 1).flatMap(({ question, cells }, turn): Message[] => {
      const given = cells[column.key] ?? [];
      const counted = turn === upTo ? given.slice(0, steps) : given;
      return [{ role: "user", content: question }, ...counted.flatMap(messagesOf)];
    });
    return [...system, ...column.examples, ...said];
  }

  async restore(): Promise<boolean> {
    const draft = await readDraft<Draft>(DRAFT);
    if (!draft) return false;
    this.columns = draft.columns;
    this.turns = draft.turns;
    this.settings = { ...newSettings(), ...draft.settings };
    this.message = draft.message;
    this.shareId = draft.shareId;
    return true;
  }

  /** What a reload brings back: everything except the odds of tokens, which are large. */
  get draft(): Draft {
    const { columns, settings, message, shareId } = this;
    const turns = $state.snapshot(this.turns) as Turn[];
    for (const { answer } of turns.flatMap(({ cells }) => Object.values(cells).flat())) {
      if (["waiting", "streaming"].includes(answer.state)) answer.state = "stopped";
      answer.tokens = [];
      answer.waking = null;
      answer.failure = null;
    }
    return { ...($state.snapshot({ columns, settings, message, shareId }) as Draft), turns };
  }

  async save(): Promise<void> {
    await writeDraft(DRAFT, this.draft);
  }

  async forget(): Promise<void> {
    await deleteDraft(DRAFT);
  }

  #answer(column: Column, turn: number): void {
    const steps = this.turns[turn]?.cells[column.key];
    if (!steps) return;
    steps.push({ answer: newAnswer(), results: {} });
    // Read back, since what is in the state is a proxy of it.
    const step = steps[steps.length - 1] as Step;
    void this.#run(column, turn, step.answer, false);
  }

  async #run(column: Column, turn: number, answer: Answer, continues: boolean): Promise<void> {
    const messages = this.messages(column, turn);
    const connection = new AbortController();
    this.#running.set(answer, connection);
    this.running += 1;
    answer.failure = null;
    answer.endedAt = null;
    answer.finish = null;
    if (!continues) answer.startedAt = Date.now();
    answer.state = continues ? "streaming" : "waiting";
    try {
      const request = this.#request(column, messages, continues);
      const chunks = streamChat(request, connection.signal, (waking) => {
        answer.waking = waking;
      });
      for await (const chunk of chunks) add(answer, chunk);
      answer.state = "done";
    } catch (error) {
      const isStopped = connection.signal.aborted || error instanceof APIUserAbortError;
      answer.state = isStopped ? "stopped" : "failed";
      if (!isStopped) answer.failure = error;
    } finally {
      answer.waking = null;
      answer.endedAt = Date.now();
      this.#running.delete(answer);
      this.running -= 1;
      void this.save();
    }
  }

  #request(column: Column, messages: Message[], continues: boolean): ChatRequest {
    const { temperature, maxTokens, seed, tools, schema, odds, keep } = this.settings;
    return {
      model: column.model,
      messages,
      ...(temperature === null ? {} : { temperature }),
      ...(maxTokens === null ? {} : { max_completion_tokens: maxTokens }),
      ...(seed === null ? {} : { seed }),
      ...(tools.trim() ? { tools: parsed(tools) } : {}),
      ...(schema.trim()
        ? {
            response_format: {
              type: "json_schema",
              json_schema: { name: "answer", strict: true, schema: parsed(schema) },
            },
          }
        : {}),
      ...(odds ? { logprobs: true, top_logprobs: TOP_TOKENS } : {}),
      ...(continues ? { continue_final_message: true, add_generation_prompt: false } : {}),
      // Without `store: false`, a project that stores a sample could store this chat.
      store: keep,
      ...(keep ? { metadata: this.#metadata(column) } : {}),
    };
  }

  #metadata(column: Column): Record<string, string> {
    const place = this.columns.findIndex(({ key }) => key === column.key);
    return {
      playground: this.shareId,
      playground_column: "abc"[place] ?? "a",
      ...(column.promptOf ? { playground_prompt: "best" } : {}),
      ...(column.examples.length > 0
        ? { playground_examples: String(column.examples.length) }
        : {}),
    };
  }
}

/** Letters only, so that no recognizer of personal data takes it for a number. */
function newShareId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz";
  const random = crypto.getRandomValues(new Uint8Array(20));
  return Array.from(random, (byte) => letters[byte % letters.length]).join("");
}

function newAnswer(): Answer {
  return {
    state: "waiting",
    text: "",
    reasoning: "",
    calls: [],
    tokens: [],
    model: null,
    finish: null,
    promptTokens: null,
    answerTokens: null,
    startedAt: Date.now(),
    firstAt: null,
    endedAt: null,
    waking: null,
    failure: null,
  };
}

function messagesOf({ answer, results }: Step): Message[] {
  // A call whose result nobody gave is left out: models refuse calls without results.
  const answered = answer.calls.filter(({ id }) => id in results);
  if (!answer.text && answered.length === 0) return [];
  const said: Message = { role: "assistant", content: answer.text };
  if (answered.length > 0) {
    said.tool_calls = answered.map(({ id, name, arguments: given }) => ({
      id,
      type: "function",
      function: { name, arguments: given },
    }));
  }
  const given = answered.map(({ id }): Message => ({
    role: "tool",
    tool_call_id: id,
    content: results[id] ?? "",
  }));
  return [said, ...given];
}

function add(answer: Answer, chunk: Chunk): void {
  answer.model = chunk.model ?? answer.model;
  if (chunk.usage) {
    answer.promptTokens = chunk.usage.prompt_tokens;
    answer.answerTokens = (answer.answerTokens ?? 0) + chunk.usage.completion_tokens;
  }
  const [choice] = chunk.choices ?? [];
  if (!choice) return;
  const { content, reasoning, tool_calls } = choice.delta;
  if (content || reasoning || tool_calls) {
    answer.state = "streaming";
    answer.firstAt ??= Date.now();
  }
  if (content) answer.text += content;
  if (reasoning) answer.reasoning += reasoning;
  for (const part of tool_calls ?? []) {
    answer.calls[part.index] ??= { id: "", name: "", arguments: "" };
    const call = answer.calls[part.index] as ToolCall;
    call.id ||= part.id ?? "";
    call.name ||= part.function?.name ?? "";
    call.arguments += part.function?.arguments ?? "";
  }
  for (const { token, logprob, top_logprobs } of choice.logprobs?.content ?? []) {
    const top = (top_logprobs ?? []).map((one) => ({ text: one.token, logprob: one.logprob }));
    answer.tokens.push({ text: token, logprob, top });
  }
  answer.finish = choice.finish_reason ?? answer.finish;
}
