/** Fine-tuning jobs: create, estimate, and watch them live. */

import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Finetuned, newIdempotencyKey, postJson } from "./client.js";
import { ConnectionError, RateLimitError, ServerError, TimeoutError } from "./errors.js";
import { delayMs, sleep } from "./retry.js";
import type { CreateJob, EstimateObject, JobEvent, JobObject } from "./types.js";

/** The service says something at least every 15 seconds; after three silences it is gone. */
const SILENCE_MS = 45_000;

export interface CreateJobOptions {
  /** Your own key of this job, so that your program's second try makes no second job. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** Create a job. It is sent again after a fault of the network, and yet made once. */
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

/** Steps, tokens, memory and time of a job that is not created. */
export function estimate(
  client: Finetuned,
  body: CreateJob,
  { signal }: { signal?: AbortSignal } = {},
): Promise<EstimateObject> {
  return postJson(client, "/v1/fine_tuning/estimate", body, {
    signal: signal ?? null,
    repeatable: true, // it only reckons
  });
}

export interface WatchOptions {
  /** The id of an event that is known: the ones after it are told. */
  after?: string;
  /** How long the service may be away, in one piece. Five minutes, if not set. */
  patienceMs?: number;
  signal?: AbortSignal;
}

/**
 * The job's events, oldest first, as they happen, until the job has ended.
 *
 * A connection that breaks is made again, from the last event on: none is lost or told twice.
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
    let told: EventSourceMessage[] = [];
    const parser = createParser({ onEvent: (message) => told.push(message) });
    for await (const text of textOf(response, connection, signal)) {
      parser.feed(text);
      yield* told;
      told = [];
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
  // fetch may miss an abort while a body is read: the signals in between can be garbage by then.
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
