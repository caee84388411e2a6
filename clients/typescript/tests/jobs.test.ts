import { beforeAll, expect, test } from "vitest";
import {
  APIUserAbortError,
  type FineTuningJobEvent,
  type Finetuned,
  NotFoundError,
} from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

let training_file: string;
const body = () => ({ model: BASE_MODEL, training_file });

beforeAll(async () => {
  training_file = (await service().files.upload(chats(20, "jobs"))).id;
});

const { jobs } = service().fineTuning;

/** All events. Cancels the job once it waits for a trainer. */
async function watched(client: Finetuned, id: string): Promise<FineTuningJobEvent[]> {
  const events: FineTuningJobEvent[] = [];
  for await (const event of client.fineTuning.jobs.watch(id)) {
    events.push(event);
    if (event.message.includes("queued")) await jobs.cancel(id);
  }
  return events;
}

async function listed(id: string): Promise<string[]> {
  const { data } = await jobs.listEvents(id, { limit: 100 });
  return data.map((event) => event.id).reverse();
}

test("a job's events arrive live until its end", async () => {
  const client = service();
  const job = await jobs.create(body());
  const events = await watched(client, job.id);
  expect(events[0]?.message).toBe(`Created fine-tuning job: ${job.id}`);
  expect(events.at(-1)?.message).toBe("The job was cancelled");
  expect(events.map((event) => event.id)).toEqual(await listed(job.id));
});

test("a broken stream resumes after the last event", async () => {
  const proxy = await between((line, nth) => {
    if (!line.endsWith("/events")) return undefined;
    // Cut within the first event, then after it, then refused, then no response at all.
    return ([{ bytes: 40 }, { bytes: 400 }, { status: 502 }, "cut"] as const)[nth];
  });
  const job = await jobs.create(body());
  const events = await watched(service({ baseURL: proxy.url, maxRetries: 0 }), job.id);
  expect(proxy.requests.length).toBeGreaterThanOrEqual(5);
  expect(events.map((event) => event.id)).toEqual(await listed(job.id));
});

test("an unavailable service is reported after the patience", async () => {
  const proxy = await between(() => "cut");
  const job = await jobs.create(body());
  const lost = service({ baseURL: proxy.url, maxRetries: 0 });
  const watching = lost.fineTuning.jobs.watch(job.id, { patience: 100 });
  await expect(watching.next()).rejects.toThrow(/No response from/);
  await jobs.cancel(job.id);
});

test("leaving the loop closes the connection", async () => {
  const proxy = await between(() => undefined);
  const job = await jobs.create(body());
  for await (const event of service({ baseURL: proxy.url }).fineTuning.jobs.watch(job.id)) {
    expect(event.object).toBe("fine_tuning.job.event");
    break;
  }
  await expect.poll(() => proxy.left).toBe(1);
  await jobs.cancel(job.id);
});

test("a signal ends watching with its reason", async () => {
  const job = await jobs.create(body());
  const stop = new AbortController();
  const watching = (async () => {
    for await (const _ of jobs.watch(job.id, { signal: stop.signal })) {
      setTimeout(() => stop.abort(new Error("seen enough")), 100);
    }
  })();
  const ended = await watching.catch((error) => error);
  expect(ended).toBeInstanceOf(APIUserAbortError);
  expect(ended.cause).toMatchObject({ message: "seen enough" });
  await jobs.cancel(job.id);
});

test("events after a known one are yielded", async () => {
  const job = await jobs.create(body());
  await jobs.cancel(job.id);
  const [first = "", ...rest] = await listed(job.id);
  const seen: string[] = [];
  for await (const event of jobs.watch(job.id, { after: first })) seen.push(event.id);
  expect(seen).toEqual(rest);
});

test("an unknown job fails immediately", async () => {
  await expect(jobs.watch("ftjob-unknown").next()).rejects.toThrow(NotFoundError);
});

test("a job whose response was lost is created once", async () => {
  const made = crypto.randomUUID();
  const proxy = await between((_, nth) => (nth === 0 ? "swallow" : undefined));
  const job = await service({ baseURL: proxy.url }).fineTuning.jobs.create({
    ...body(),
    metadata: { made },
  });
  expect(proxy.requests).toHaveLength(2);
  const { data } = await jobs.list({ metadata: { made } });
  expect(data.map((other) => other.id)).toEqual([job.id]);
  await jobs.cancel(job.id);
});

test("the same custom key returns the same job", async () => {
  const options = { idempotencyKey: `test-${training_file}` };
  const [one, two] = [await jobs.create(body(), options), await jobs.create(body(), options)];
  expect(two.id).toBe(one.id);
  await jobs.cancel(one.id);
});

test("an estimate returns steps without creating anything", async () => {
  const count = async () => (await jobs.list()).data.length;
  const before = await count();
  const estimated = await service().fineTuning.estimateWhenReady(body());
  expect(estimated.rows).toBe(20);
  expect(estimated.steps).toBeGreaterThan(0);
  expect(await count()).toBe(before);
});
