/** Response bodies that take long to arrive. Silence ends them, and broken ones are resumed. */

import type { Finetuned } from "./client.js";
import { ConnectionError, RateLimitError, ServerError, TimeoutError } from "./errors.js";
import { delayMs, sleep } from "./retry.js";

/**
 * Time without a byte after which a connection counts as broken. A stream of events brings something
 * every 15 seconds.
 */
const SILENCE_MS = 45_000;

export interface PatienceOptions {
  /** Longest continuous time the service may be unreachable. Default: five minutes. */
  patienceMs?: number;
  signal?: AbortSignal;
}

/**
 * Yield what `open` yields. If the connection breaks, `open` is called again to continue.
 *
 * `open` returns normally only if nothing is missing.
 */
export async function* resumed<T>(
  open: () => AsyncIterable<T>,
  { patienceMs = 300_000, signal }: PatienceOptions,
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
      if (!passes(error)) throw error;
      lostAt ??= Date.now();
      if (Date.now() - lostAt > patienceMs) throw error;
    }
    await sleep(delayMs(attempt) ?? 0, signal ?? null);
  }
}

function passes(error: unknown): boolean {
  return (
    error instanceof ConnectionError ||
    error instanceof ServerError ||
    error instanceof RateLimitError
  );
}

export interface BodyOptions {
  /** What the body is, for errors, such as `stream of events`. */
  name: string;
  headers?: Record<string, string>;
  /** Called before the first byte is yielded; may throw. */
  onResponse?: (response: Response) => void;
  signal?: AbortSignal | undefined;
}

/** Yield the body of a GET request as it arrives. Throws ConnectionError if it breaks. */
export async function* bodyOf(
  client: Finetuned,
  path: string,
  { name, headers = {}, onResponse, signal }: BodyOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  signal?.throwIfAborted();
  const connection = new AbortController();
  const follow = () => connection.abort(signal?.reason);
  signal?.addEventListener("abort", follow, { once: true });
  try {
    const response = await client.send(path, { headers, signal: connection.signal });
    onResponse?.(response);
    yield* chunksOf(response, connection, name, signal);
  } finally {
    signal?.removeEventListener("abort", follow);
    connection.abort();
  }
}

async function* chunksOf(
  response: Response,
  connection: AbortController,
  name: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  // fetch may miss an abort while a body is read: intermediate signals may be garbage-collected.
  const stop = () => reader?.cancel().catch(() => undefined);
  connection.signal.addEventListener("abort", stop, { once: true });
  for (;;) {
    const silent = setTimeout(
      () => connection.abort(new TimeoutError(`The ${name} fell silent.`)),
      SILENCE_MS,
    );
    let read: ReadableStreamReadResult<Uint8Array<ArrayBuffer>> | undefined;
    try {
      read = await reader?.read();
      connection.signal.throwIfAborted();
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ConnectionError
        ? error
        : new ConnectionError(`The ${name} broke.`, { cause: error });
    } finally {
      clearTimeout(silent);
    }
    if (read === undefined || read.done) return;
    yield read.value;
  }
}
