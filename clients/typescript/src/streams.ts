/** Response bodies that take long to arrive. Silence ends them, and broken ones are resumed. */

import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { APIClient } from "./core.js";
import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIUserAbortError,
  InternalServerError,
  RateLimitError,
} from "./errors.js";
import { backoffMs, sleep } from "./retry.js";

/**
 * Time without a byte after which a connection counts as broken. A stream of events brings something
 * every 15 seconds.
 */
const SILENCE_MS = 45_000;
/** Longest continuous time for which the service may be unreachable, by default. */
export const PATIENCE_MS = 300_000;

export interface PatienceOptions {
  /** Longest continuous time in milliseconds that the service may be unreachable. Default: 5 min. */
  patience?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface WatchOptions extends PatienceOptions {
  /** Id of the last event already seen; later events are yielded. */
  after?: string | undefined;
}

/**
 * Yield the events at a path as they happen, oldest first, until the stream's end.
 *
 * A broken connection is resumed after the last event: none is lost or repeated. Leaving the loop
 * closes the connection.
 */
export async function* watchEvents<T>(
  client: APIClient,
  path: string,
  { after, ...options }: WatchOptions = {},
): AsyncGenerator<T, void, undefined> {
  const later = () => messagesOf(client, path, after, options.signal);
  for await (const message of resumed(later, options)) {
    after = message.id ?? after;
    yield JSON.parse(message.data) as T;
  }
}

/** Yield the messages of one connection, until the one that ends the stream. */
async function* messagesOf(
  client: APIClient,
  path: string,
  after: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  let received: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => received.push(message) });
  const decoder = new TextDecoder();
  const options = {
    name: "stream of events",
    query: { stream: true },
    headers: { "last-event-id": after },
    signal,
  };
  for await (const bytes of bodyOf(client, path, options)) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    for (const message of received) {
      if (message.data === "[DONE]") return;
      yield message;
    }
    received = [];
  }
  throw new APIConnectionError("The stream of events ended before its end was reported.");
}

/**
 * Yield what `open` yields. If the connection breaks, `open` is called again to continue.
 *
 * `open` returns normally only if nothing is missing.
 */
export async function* resumed<T>(
  open: () => AsyncIterable<T>,
  { patience = PATIENCE_MS, signal }: PatienceOptions,
): AsyncGenerator<T, void, undefined> {
  let lostAt: number | null = null;
  for (let attempt = 0; ; attempt++) {
    try {
      for await (const one of open()) {
        [lostAt, attempt] = [null, 0];
        yield one;
      }
      return;
    } catch (error) {
      if (!isTemporary(error)) throw error;
      lostAt ??= Date.now();
      if (Date.now() - lostAt > patience) throw error;
    }
    await sleep(backoffMs(attempt), signal);
  }
}

/** Return whether an error may pass by itself while a method waits. */
export function isTemporary(error: unknown): boolean {
  return (
    error instanceof APIConnectionError ||
    (error instanceof InternalServerError && error.status !== 500) ||
    error instanceof RateLimitError
  );
}

export interface BodyOptions {
  /** What the body is, for errors, such as `stream of events`. */
  name: string;
  query?: object;
  headers?: Record<string, string | undefined>;
  /** Called before the first byte is yielded; may throw. */
  onResponse?: (response: Response) => void;
  signal?: AbortSignal | undefined;
}

/** Yield the body of a GET request as it arrives. Throws APIConnectionError if it breaks. */
export async function* bodyOf(
  client: APIClient,
  path: string,
  { name, query, headers, onResponse, signal }: BodyOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  if (signal?.aborted) throw new APIUserAbortError(signal);
  const connection = new AbortController();
  const follow = () => connection.abort();
  signal?.addEventListener("abort", follow, { once: true });
  try {
    const response = await client
      .getContent(path, { query, headers, signal: connection.signal })
      .asResponse();
    onResponse?.(response);
    yield* chunksOf(response, connection, name);
  } catch (error) {
    if (signal?.aborted) throw new APIUserAbortError(signal);
    throw error;
  } finally {
    signal?.removeEventListener("abort", follow);
    connection.abort();
  }
}

async function* chunksOf(
  response: Response,
  connection: AbortController,
  name: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  // fetch may miss an abort while a body is read: intermediate signals may be garbage-collected.
  const stop = () => reader?.cancel().catch(() => undefined);
  connection.signal.addEventListener("abort", stop, { once: true });
  for (;;) {
    let isSilent = false;
    const silent = setTimeout(() => {
      isSilent = true;
      connection.abort();
    }, SILENCE_MS);
    let read: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> | undefined;
    try {
      read = await reader?.read();
      connection.signal.throwIfAborted();
    } catch (error) {
      throw isSilent
        ? new APIConnectionTimeoutError(`The ${name} fell silent.`)
        : new APIConnectionError(`The ${name} broke.`, { cause: error });
    } finally {
      clearTimeout(silent);
    }
    if (read === undefined || read.done) return;
    yield read.value;
  }
}
