import { beforeAll, expect, test } from "vitest";
import {
  createJob,
  estimate,
  type Finetuned,
  type JobEvent,
  NotFoundError,
  unwrap,
  upload,
  watchJob,
} from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

let training_file: string;
const body = () => ({ model: BASE_MODEL, training_file });

beforeAll(async () => {
  training_file = (await upload(service(), chats(20, "jobs"))).id;
});

async function cancel(client: Finetuned, job_id: string): Promise<void> {
  const params = { path: { job_id } };
  await client.http.POST("/v1/fine_tuning/jobs/{job_id}/cancel", { params });
}

/** All events. Cancels the job once it waits for a trainer. */
async function watched(client: Finetuned, id: string): Promise<JobEvent[]> {
  const events: JobEvent[] = [];
  for await (const event of watchJob(client, id)) {
    events.push(event);
    if (event.message.includes("queued")) await cancel(service(), id);
  }
  return events;
}

async function listed(id: string): Promise<string[]> {
  const response = await service().send(`/v1/fine_tuning/jobs/${id}/events?limit=100`);
  const { data } = (await response.json()) as { data: JobEvent[] };
  return data.map((event) => event.id).reverse();
}

test("a job's events arrive live until its end", async () => {
  const client = service();
  const job = await createJob(client, body());
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
  const job = await createJob(service(), body());
  const events = await watched(service({ baseURL: proxy.url, maxRetries: 0 }), job.id);
  expect(proxy.requests.length).toBeGreaterThanOrEqual(5);
  expect(events.map((event) => event.id)).toEqual(await listed(job.id));
});

test("an unavailable service is reported after the patience", async () => {
  const proxy = await between(() => "cut");
  const job = await createJob(service(), body());
  const watching = watchJob(service({ baseURL: proxy.url, maxRetries: 0 }), job.id, {
    patienceMs: 100,
  });
  await expect(watching.next()).rejects.toThrow(/No response from/);
  await cancel(service(), job.id);
});

test("leaving the loop closes the connection", async () => {
  const proxy = await between(() => undefined);
  const job = await createJob(service(), body());
  for await (const event of watchJob(service({ baseURL: proxy.url }), job.id)) {
    expect(event.object).toBe("fine_tuning.job.event");
    break;
  }
  await expect.poll(() => proxy.left).toBe(1);
  await cancel(service(), job.id);
});

test("a signal ends watching with its reason", async () => {
  const job = await createJob(service(), body());
  const stop = new AbortController();
  const watching = (async () => {
    for await (const _ of watchJob(service(), job.id, { signal: stop.signal })) {
      setTimeout(() => stop.abort(new Error("seen enough")), 100);
    }
  })();
  await expect(watching).rejects.toThrow("seen enough");
  await cancel(service(), job.id);
});

test("events after a known one are yielded", async () => {
  const job = await createJob(service(), body());
  await cancel(service(), job.id);
  const [first = "", ...rest] = await listed(job.id);
  const seen: string[] = [];
  for await (const event of watchJob(service(), job.id, { after: first })) seen.push(event.id);
  expect(seen).toEqual(rest);
});

test("an unknown job fails immediately", async () => {
  await expect(watchJob(service(), "ftjob-unknown").next()).rejects.toThrow(NotFoundError);
});

test("a job whose response was lost is created once", async () => {
  const made = crypto.randomUUID();
  const proxy = await between((_, nth) => (nth === 0 ? "swallow" : undefined));
  const job = await createJob(service({ baseURL: proxy.url }), {
    ...body(),
    metadata: { made },
  });
  expect(proxy.requests).toHaveLength(2);
  const answer = await service().send(`/v1/fine_tuning/jobs?metadata%5Bmade%5D=${made}`);
  const { data } = (await answer.json()) as { data: { id: string }[] };
  expect(data.map((other) => other.id)).toEqual([job.id]);
  await cancel(service(), job.id);
});

test("the same custom key returns the same job", async () => {
  const options = { idempotencyKey: `test-${training_file}` };
  const [one, two] = [
    await createJob(service(), body(), options),
    await createJob(service(), body(), options),
  ];
  expect(two.id).toBe(one.id);
  await cancel(service(), one.id);
});

test("an estimate returns steps without creating anything", async () => {
  const count = async () => (await unwrap(service().http.GET("/v1/fine_tuning/jobs"))).data.length;
  const before = await count();
  const estimated = await estimate(service(), body());
  expect(estimated.rows).toBe(20);
  expect(estimated.steps).toBeGreaterThan(0);
  expect(await count()).toBe(before);
});
