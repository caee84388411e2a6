/** Fine-tuning jobs: creation, estimates and live events. */

import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Finetuned, newIdempotencyKey, postJson } from "./client.js";
import {
  ConflictError,
  ConnectionError,
  RateLimitError,
  ServerError,
  TimeoutError,
} from "./errors.js";
import { delayMs, sleep } from "./retry.js";
import type { CreateJob, EstimateObject, JobEvent, JobObject } from "./types.js";

/** The service sends something every 15 seconds; after three missed intervals it is gone. */
const SILENCE_MS = 45_000;
const ESTIMATE_POLL_MS = 1_000;

export interface CreateJobOptions {
  /** Idempotency key, so that a retry by your program does not create a second job. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** Create a job. The request is retried after a network error but creates only one job. */
export function createJob(
  client: Finetuned,
  body: CreateJob,
  { idempotencyKey = newIdempotencyKey(), signal }: CreateJobOptions = {},
): Promise<JobObject> {
  return postJson(client, "/v1/fine_tuning/jobs", body, {
    headers: { "idempotency-key": idempotencyKey },
    signal: signal ?? null,
  });
}

/**
 * Estimate a job's steps, tokens, memory and time without creating it.
 *
 * Waits until the files are checked and measured.
 */
export async function estimate(
  client: Finetuned,
  body: CreateJob,
  { signal }: { signal?: AbortSignal } = {},
): Promise<EstimateObject> {
  for (;;) {
    try {
      return await postJson<EstimateObject>(client, "/v1/fine_tuning/estimate", body, {
        signal: signal ?? null,
        repeatable: true, // an estimate changes nothing
      });
    } catch (error) {
      if (!(error instanceof ConflictError) || error.code !== "file_not_ready") throw error;
      await sleep(ESTIMATE_POLL_MS, signal ?? null);
    }
  }
}

export interface WatchOptions {
  /** Id of the last event already seen; later events are yielded. */
  after?: string;
  /** Longest continuous time the service may be unreachable. Default: five minutes. */
  patienceMs?: number;
  signal?: AbortSignal;
}

/**
 * Yield the job's events as they happen, oldest first, until the job has ended.
 *
 * A broken connection is resumed after the last event: none is lost or repeated.
 * Leaving the loop closes the connection.
 */
export async function* watchJob(
  client: Finetuned,
  jobId: string,
  { after, patienceMs = 300_000, signal }: WatchOptions = {},
): AsyncGenerator<JobEvent, void, undefined> {
  let lostAt: number | null = null;
  for (let attempt = 0; ; attempt++) {
    let fault: unknown = new ConnectionError("The stream of events ended before the job did.");
    try {
      for await (const message of messages(client, jobId, after, signal)) {
        if (message.data === "[DONE]") return;
        [lostAt, attempt, after] = [null, 0, message.id ?? after];
        yield JSON.parse(message.data) as JobEvent;
      }
    } catch (error) {
      if (!passes(error)) throw error;
      fault = error;
    }
    lostAt ??= Date.now();
    if (Date.now() - lostAt > patienceMs) throw fault;
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

async function* messages(
  client: Finetuned,
  jobId: string,
  after: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  signal?.throwIfAborted();
  const connection = new AbortController();
  const follow = () => connection.abort(signal?.reason);
  signal?.addEventListener("abort", follow, { once: true });
  try {
    const response = await client.send(
      `/v1/fine_tuning/jobs/${encodeURIComponent(jobId)}/events?stream=true`,
      {
        headers: after === undefined ? {} : { "last-event-id": after },
        signal: connection.signal,
      },
    );
    let received: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => received.push(message) });
    for await (const text of textOf(response, connection, signal)) {
      parser.feed(text);
      yield* received;
      received = [];
    }
  } finally {
    signal?.removeEventListener("abort", follow);
    connection.abort();
  }
}

async function* textOf(
  response: Response,
  connection: AbortController,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void, undefined> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  // fetch may miss an abort while a body is read: intermediate signals may be garbage-collected.
  const stop = () => reader?.cancel().catch(() => undefined);
  connection.signal.addEventListener("abort", stop, { once: true });
  for (;;) {
    const silent = setTimeout(
      () => connection.abort(new TimeoutError("The stream of events fell silent.")),
      SILENCE_MS,
    );
    let read: { done: boolean; value?: Uint8Array | undefined } | undefined;
    try {
      read = await reader?.read();
      connection.signal.throwIfAborted();
    } catch (error) {
      signal?.throwIfAborted();
      throw error instanceof ConnectionError
        ? error
        : new ConnectionError("The stream of events broke.", { cause: error });
    } finally {
      clearTimeout(silent);
    }
    if (read === undefined || read.done) return;
    yield decoder.decode(read.value, { stream: true });
  }
}
