/** Fine-tuning jobs: creation, estimates and live events. */

import { createParser, type EventSourceMessage } from "eventsource-parser";
import { type Finetuned, newIdempotencyKey, postJson } from "./client.js";
import { ConflictError, ConnectionError } from "./errors.js";
import { sleep } from "./retry.js";
import { bodyOf, type PatienceOptions, resumed } from "./streams.js";
import type { CreateJob, EstimateObject, JobEvent, JobObject } from "./types.js";

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
      if (!(error instanceof ConflictError) || error.code !== "not_ready") throw error;
      await sleep(ESTIMATE_POLL_MS, signal ?? null);
    }
  }
}

export interface WatchOptions extends PatienceOptions {
  /** Id of the last event already seen; later events are yielded. */
  after?: string;
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
  { after, ...options }: WatchOptions = {},
): AsyncGenerator<JobEvent, void, undefined> {
  const later = () => messages(client, jobId, after, options.signal);
  for await (const message of resumed(later, options)) {
    after = message.id ?? after;
    yield JSON.parse(message.data) as JobEvent;
  }
}

/** Yield the messages of one connection, until the one that ends the stream. */
async function* messages(
  client: Finetuned,
  jobId: string,
  after: string | undefined,
  signal: AbortSignal | undefined,
): AsyncGenerator<EventSourceMessage, void, undefined> {
  const path = `/v1/fine_tuning/jobs/${encodeURIComponent(jobId)}/events?stream=true`;
  const headers: Record<string, string> = after === undefined ? {} : { "last-event-id": after };
  let received: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (message) => received.push(message) });
  const decoder = new TextDecoder();
  for await (const bytes of bodyOf(client, path, { name: "stream of events", headers, signal })) {
    parser.feed(decoder.decode(bytes, { stream: true }));
    for (const message of received) {
      if (message.data === "[DONE]") return;
      yield message;
    }
    received = [];
  }
  throw new ConnectionError("The stream of events ended before the job did.");
}
