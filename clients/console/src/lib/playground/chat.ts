/** Chats with models: the request, and the stream of its answer. */

import { APIError } from "@finetuned/client";
import { client } from "#lib/api.ts";

export interface ToolCall {
  id: string;
  name: string;
  /** JSON, as the model wrote it. */
  arguments: string;
}

export interface Message {
  role: "system" | "user" | "assistant" | "tool";
  content: string;
  tool_calls?: { id: string; type: "function"; function: { name: string; arguments: string } }[];
  tool_call_id?: string;
}

export interface ChatRequest {
  model: string;
  messages: Message[];
  [parameter: string]: unknown;
}

interface TokenOdds {
  token: string;
  logprob: number;
}

export interface Chunk {
  id?: string;
  model?: string;
  choices?: {
    delta: {
      content?: string | null;
      reasoning?: string | null;
      tool_calls?: {
        index: number;
        id?: string;
        function?: { name?: string; arguments?: string };
      }[];
    };
    logprobs?: { content?: (TokenOdds & { top_logprobs?: TokenOdds[] })[] | null } | null;
    finish_reason?: string | null;
  }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  error?: { message: string; code: string | null };
}

/** Why an engine does not answer yet, and when it is asked again. */
export interface Waking {
  code: "engine_sleeping" | "engine_unavailable";
  seconds: number;
}

/** A stream that ended before its answer did. */
export class BrokenStream extends Error {}

const WAKING: readonly string[] = ["engine_sleeping", "engine_unavailable"];
const LONGEST_WAIT_MS = 300_000;
/** An engine on a CPU may read a long prompt for minutes before its first token. */
const TIMEOUT_MS = 600_000;

/** Send a chat and yield the chunks of its answer. While the engine wakes up, it is asked again. */
export async function* streamChat(
  request: ChatRequest,
  signal: AbortSignal,
  onwaking: (waking: Waking | null) => void,
): AsyncGenerator<Chunk, void, undefined> {
  const body = { ...request, stream: true, stream_options: { include_usage: true } };
  const giveUpAt = Date.now() + LONGEST_WAIT_MS;
  let response: Response;
  for (;;) {
    try {
      response = await client.send("POST", "/chat/completions", {
        body,
        signal,
        timeout: TIMEOUT_MS,
        maxRetries: 0,
      });
      break;
    } catch (error) {
      const code = error instanceof APIError ? error.code : null;
      if (!code || !WAKING.includes(code) || Date.now() > giveUpAt) throw error;
      const after = Number((error as APIError).headers?.get("retry-after")) || 5;
      onwaking({ code: code as Waking["code"], seconds: after });
      await pause(after * 1000, signal);
      onwaking(null);
    }
  }
  for await (const data of dataOf(response)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new BrokenStream(chunk.error.message);
    yield chunk;
  }
  throw new BrokenStream("The connection ended before the answer did.");
}

/** Yield the data of server-sent events. The gateway sends one line of JSON for each event. */
async function* dataOf(response: Response): AsyncGenerator<string, void, undefined> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const read = await reader?.read();
      if (!read || read.done) return;
      const lines = (rest + read.value).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("Stopped", "AbortError"));
    });
  });
}
