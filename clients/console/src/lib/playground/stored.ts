/** Stored conversations: `store: true` with metadata that groups the columns. */

import type { StoredChat, StoredChatMessage } from "@finetuned/client";
import { client } from "#lib/api.ts";
import type { ToolCall } from "./chat.ts";
import {
  newColumn,
  type Answer,
  type Column,
  type Step,
  type Turn,
} from "./conversation.svelte.ts";

export interface StoredConversation {
  columns: Column[];
  turns: Turn[];
  createdAt: number;
  expiresAt: number;
  /** Number of values of personal data that were replaced. */
  redactions: number;
}

/** The conversation that is stored under an ID; null if there is none, or not yet. */
export async function storedConversation(id: string): Promise<StoredConversation | null> {
  const list = { metadata: { playground: id }, order: "desc", limit: 100 } as const;
  const { data } = await client.chat.completions.list(list);
  const newest = new Map<string, StoredChat>();
  for (const chat of data) {
    const column = chat.metadata.playground_column ?? "";
    // The newest chat of a column has all messages before it.
    if (!newest.has(column)) newest.set(column, chat);
  }
  if (newest.size === 0) return null;
  const chats = [...newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, chat]) => chat);
  const columns: Column[] = [];
  const turns: Turn[] = [];
  for (const chat of chats) {
    const { data: messages } = await client.chat.completions.messages.list(chat.id, { limit: 100 });
    addColumn(chat, messages, columns, turns);
  }
  return {
    columns,
    turns,
    createdAt: Math.min(...data.map(({ created }) => created)),
    expiresAt: Math.min(...chats.map(({ expires_at }) => expires_at)),
    redactions: chats
      .flatMap(({ redactions }) => Object.values(redactions))
      .reduce((sum, count) => sum + count, 0),
  };
}

function addColumn(
  chat: StoredChat,
  messages: StoredChatMessage[],
  columns: Column[],
  turns: Turn[],
): void {
  const isBestPrompt = chat.metadata.playground_prompt === "best";
  const examples = Number(chat.metadata.playground_examples ?? 0);
  const system = messages.find(({ role }) => role === "system")?.content ?? "";
  const column = newColumn(chat.model, { system, promptOf: isBestPrompt ? chat.model : null });
  columns.push(column);
  let turn = -1;
  const steps = () => turns[turn]?.cells[column.key] ?? [];
  const said = messages.filter(({ role }) => role !== "system").slice(examples);
  for (const message of said) {
    const content = message.content ?? "";
    if (message.role === "user") {
      turn += 1;
      turns[turn] ??= { question: content, cells: {} };
      (turns[turn] as Turn).cells[column.key] = [];
    } else if (message.role === "assistant") {
      steps().push(stepOf(chat, content, message.tool_calls));
    } else if (message.role === "tool" && message.tool_call_id) {
      const step = steps().at(-1);
      if (step) step.results[message.tool_call_id] = content;
    }
  }
  const last = chat.choices[0]?.message;
  if (last) steps().push(stepOf(chat, last.content ?? "", last.tool_calls));
}

function stepOf(
  chat: StoredChat,
  text: string,
  calls: Record<string, unknown>[] | null | undefined,
): Step {
  const answer: Answer = {
    state: "done",
    text,
    reasoning: "",
    calls: (calls ?? []).map(callOf),
    tokens: [],
    model: chat.model,
    finish: null,
    promptTokens: null,
    answerTokens: null,
    startedAt: 0,
    firstAt: null,
    endedAt: null,
    waking: null,
    failure: null,
  };
  return { answer, results: {} };
}

function callOf(call: Record<string, unknown>): ToolCall {
  const called = (call.function ?? {}) as { name?: string; arguments?: string };
  return {
    id: String(call.id ?? ""),
    name: called.name ?? "",
    arguments: called.arguments ?? "",
  };
}
