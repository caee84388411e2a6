// Makes every call of tests/sdk/table.py with OpenAI's SDK for Node, and writes each answer as an
// assertion of its type, which the compiler then checks: at runtime, the SDK accepts any JSON.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InvalidWebhookSignatureError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  toFile,
} from "openai";
import { AbstractPage } from "openai/core/pagination";
import { Stream } from "openai/streaming";

const { baseURL, key, model, tuned, spare, rows, pairs, schema, long, grader, hook, known } = JSON.parse(
  readFileSync("input.json", "utf-8"),
);
type Known = { method: string; field: string; value: unknown };
const called = new Set<string>();
const answers: [method: string, answer: object][] = [];

/** Notes an answer, or the items of its page. */
function seen(method: string, answer: unknown) {
  called.add(method);
  if (typeof answer !== "object" || answer === null) return;
  if (answer instanceof Stream || answer instanceof Response) return;
  const items = answer instanceof AbstractPage ? answer.getPaginatedItems() : [answer];
  for (const item of items) answers.push([method, item]);
}

function isResource(value: unknown): value is object {
  return typeof value === "object" && value !== null && "_client" in value;
}

/** Views the client, or one of its resources, so that the answer to each call is noted. */
function recording<T extends object>(target: T, path: string): T {
  return new Proxy(target, {
    get(_, name) {
      const found = Reflect.get(target, name);
      const place = path ? `${path}.${String(name)}` : String(name);
      if (isResource(found)) return recording(found, place);
      if (typeof found !== "function") return found;
      if (!path) return found.bind(target);
      return (...args: unknown[]) => {
        const answer = found.apply(target, args);
        if (answer instanceof Promise) {
          answer.then((value) => seen(place, value)).catch(() => {});
        } else seen(place, answer === undefined ? answer : null);
        return answer;
      };
    },
  });
}

/** Lists the methods of a resource and of those in it. */
function methods(resource: object, path: string): string[] {
  const own = Object.getOwnPropertyNames(Object.getPrototypeOf(resource))
    .filter((name) => name !== "constructor" && !name.startsWith("_"))
    .filter((name) => typeof Reflect.get(resource, name) === "function");
  const below = Object.entries(resource).filter(([name, value]) => name !== "_client" && isResource(value));
  return [
    ...(path ? own.map((name) => `${path}.${name}`) : []),
    ...below.flatMap(([name, value]) => methods(value, path ? `${path}.${name}` : name)),
  ];
}

async function until<T>(read: () => Promise<T>, done: (value: T) => boolean): Promise<T> {
  const deadline = Date.now() + 240_000;
  for (;;) {
    const value = await read();
    if (done(value)) return value;
    assert(Date.now() < deadline, JSON.stringify(value));
    await sleep(100);
  }
}

async function list<T>(page: AsyncIterable<T>): Promise<T[]> {
  const items = [];
  for await (const item of page) items.push(item);
  return items;
}

const real = new OpenAI({ baseURL, apiKey: key, adminAPIKey: key, maxRetries: 0 });
const client = recording(real, "");
const messages = [{ role: "user" as const, content: "Say hello." }];
const chat = { model, messages, max_tokens: 4 };

async function files() {
  const jsonl = async (name: string) => toFile(Buffer.from(rows), name);
  const file = await client.files.create({ file: await jsonl("rows.jsonl"), purpose: "fine-tune" });
  await client.files.waitForProcessing(file.id, { pollInterval: 100 });
  assert.equal((await client.files.retrieve(file.id)).status, "processed");
  assert.equal(await (await client.files.content(file.id)).text(), rows);
  const other = await client.files.create({ file: await jsonl("b.jsonl"), purpose: "fine-tune" });
  const found = (await list(client.files.list({ limit: 1 }))).map((one) => one.id);
  assert(found.includes(file.id) && found.includes(other.id));
  assert((await client.files.delete(other.id)).deleted);
  return file.id;
}

async function uploads() {
  const size = Buffer.byteLength(rows);
  const about = { bytes: size, mime_type: "application/jsonl", purpose: "fine-tune" as const };
  const upload = await client.uploads.create({ ...about, filename: "a.jsonl" });
  const data = await toFile(Buffer.from(rows), "part");
  const part = await client.uploads.parts.create(upload.id, { data });
  const done = await client.uploads.complete(upload.id, { part_ids: [part.id] });
  assert.equal(done.file?.filename, "a.jsonl");
  const other = await client.uploads.create({ ...about, filename: "b.jsonl" });
  assert.equal((await client.uploads.cancel(other.id)).status, "cancelled");
}

async function jobs(file: string) {
  const { jobs } = client.fineTuning;
  const metadata = { run: String(Date.now()) };
  const ask = { model, training_file: file, metadata, suffix: "node", method: long };
  const job = await jobs.create(ask);
  const read = () => jobs.retrieve(job.id);
  await until(read, ({ status }) => status !== "validating_files");
  await jobs.pause(job.id);
  await until(read, ({ status }) => (status as string) === "paused");
  assert.notEqual((await jobs.resume(job.id)).status as string, "paused");
  assert.equal((await jobs.cancel(job.id)).status, "cancelled");
  await assert.rejects(jobs.cancel(job.id), ConflictError);
  const file2 = await toFile(Buffer.from(pairs), "pairs.jsonl");
  const training = await client.files.create({ file: file2, purpose: "fine-tune" });
  const dpo = await jobs.create({
    model,
    training_file: training.id,
    method: { type: "dpo", dpo: { hyperparameters: { beta: 0.2 } } },
  });
  assert.equal((await jobs.cancel(dpo.id)).status, "cancelled");
  assert.deepEqual((await list(jobs.list({ limit: 1, metadata }))).map((one) => one.id), [job.id]);
  assert((await list(jobs.list({ limit: 50, metadata: null }))).some((one) => one.id === dpo.id));
  const events = (await list(jobs.listEvents(tuned, { limit: 5 }))).map((one) => one.id);
  assert(events.length > 5 && new Set(events).size === events.length);
  assert((await list(jobs.checkpoints.list(tuned, { limit: 1 }))).length > 0);
}

async function graders() {
  await client.fineTuning.alpha.graders.validate({ grader });
  const ran = await client.fineTuning.alpha.graders.run({ grader, model_sample: "hello" });
  assert.equal(ran.reward, 1);
}

async function models() {
  assert((await list(client.models.list())).some((one) => one.id === spare));
  assert.equal((await client.models.retrieve(spare)).id, spare);
  assert((await client.models.delete(spare)).deleted);
  await assert.rejects(client.models.retrieve(spare), NotFoundError);
}

async function chats() {
  const { completions } = client.chat;
  const answer = await completions.create({ ...chat, n: 2, logprobs: true, top_logprobs: 2 });
  assert(answer.choices[1]?.logprobs);
  const options = { stream: true, logprobs: true, stream_options: { include_usage: true } } as const;
  for await (const chunk of await completions.create({ ...chat, ...options })) {
    seen("chat.completions.create", chunk);
  }
  for await (const chunk of completions.stream(chat)) seen("chat.completions.stream", chunk);
  const json_schema = { name: "city", schema, strict: true };
  const response_format = { type: "json_schema" as const, json_schema };
  const parsed = await completions.parse({ ...chat, max_tokens: 60, response_format });
  assert(JSON.parse(parsed.choices[0]?.message.content ?? "").name);
  const tool = { type: "function" as const, function: { name: "weather", parameters: {} } };
  const refused = await completions.create({ ...chat, tools: [tool] }).catch((error) => error);
  assert(refused instanceof BadRequestError);
  assert.equal(refused.code, "unsupported_tools");
  const weather = { ...tool.function, description: "Weather", function: () => "sunny" };
  const runner = completions.runTools({ ...chat, tools: [{ ...tool, function: weather }] });
  await assert.rejects(runner.finalContent(), BadRequestError);
}

async function storedChats() {
  const { completions } = client.chat;
  const { projects } = client.admin.organization;
  const { project } = await real.get<{ project: { id: string } }>("/whoami");
  const update = (capture: object | null) => projects.update(project.id, { capture } as object);
  await update({ sampling: 0 });
  const metadata = { run: `${Date.now()}` };
  let id: string | undefined;
  for (let tries = 0; !id && tries < 600; tries += 1) {
    await completions.create({ ...chat, store: true, metadata });
    await sleep(200);
    id = (await list(completions.list({ metadata, limit: 1 })))[0]?.id;
  }
  assert(id);
  assert((await completions.retrieve(id)).choices[0]?.message.content);
  assert.equal((await list(completions.messages.list(id))).length, chat.messages.length);
  assert.equal((await completions.update(id, { metadata: { quality: "good" } })).id, id);
  assert((await completions.delete(id)).deleted);
  await assert.rejects(completions.retrieve(id), NotFoundError);
  await update(null);
}

async function completions() {
  const { completions } = client;
  const ask = { model, prompt: "One, two,", max_tokens: 4 };
  assert((await completions.create({ ...ask, logprobs: 2 })).choices[0]?.text);
  for await (const chunk of await completions.create({ ...ask, stream: true })) {
    seen("completions.create", chunk);
  }
}

async function responses() {
  const { responses } = client;
  const ask = { model, input: "Hello", max_output_tokens: 4 };
  assert((await responses.create(ask)).output_text);
  for await (const event of await responses.create({ ...ask, stream: true })) {
    seen("responses.create", event);
  }
  for await (const event of responses.stream(ask)) seen("responses.stream", event);
  const format = { type: "json_schema" as const, name: "city", schema, strict: true };
  const parsed = await responses.parse({ ...ask, max_output_tokens: 60, text: { format } });
  assert(JSON.parse(parsed.output_text).name);
  assert((await client.beta.responses.create(ask)).output);
  const stored = responses.create({ ...ask, previous_response_id: "resp_1" });
  await assert.rejects(stored, BadRequestError);
}

async function embeddings() {
  const refused = await client.embeddings.create({ model, input: "hi" }).catch((error) => error);
  assert(refused instanceof BadRequestError);
  assert.equal(refused.code, "unsupported_model");
}

async function batches() {
  const endpoint = "/v1/chat/completions" as const;
  const row = JSON.stringify({ custom_id: "1", method: "POST", url: endpoint, body: chat });
  const file = await toFile(Buffer.from(row), "requests.jsonl");
  const { id } = await client.files.create({ file, purpose: "batch" });
  const ask = { input_file_id: id, endpoint, completion_window: "24h" as const };
  const [batch, other] = [await client.batches.create(ask), await client.batches.create(ask)];
  await client.batches.cancel(other.id);
  await until(
    () => client.batches.retrieve(batch.id),
    (one) => one.status === "completed",
  );
  const found = (await list(client.batches.list({ limit: 1 }))).map((one) => one.id);
  assert(found.includes(batch.id) && found.includes(other.id));
}

async function evals() {
  const { evals } = client;
  const { runs } = evals;
  const made = await evals.create({
    name: "table",
    data_source_config: {
      type: "custom",
      item_schema: { type: "object", properties: { question: { type: "string" } } },
      include_sample_schema: true,
    },
    testing_criteria: [grader],
  });
  const of = { eval_id: made.id };
  assert.equal((await evals.update(made.id, { name: "calls" })).name, "calls");
  assert.equal((await evals.retrieve(made.id)).name, "calls");
  assert((await list(evals.list({ limit: 1, order: "desc" }))).some((one) => one.id === made.id));
  const content = [1, 2].map((n) => ({ item: { question: `Say hello number ${n}.` } }));
  const data_source = {
    type: "completions" as const,
    model,
    source: { type: "file_content" as const, content },
    input_messages: {
      type: "template" as const,
      template: [{ role: "user" as const, content: "{{item.question}}" }],
    },
    sampling_params: { max_completion_tokens: 2 },
  };
  const run = await runs.create(made.id, { name: "base", data_source });
  const other = await runs.create(made.id, { data_source });
  assert.equal((await runs.cancel(other.id, of)).status, "canceled");
  await until(
    () => runs.retrieve(run.id, of),
    (one) => one.status === "completed",
  );
  const items = await list(runs.outputItems.list(run.id, { ...of, limit: 1 }));
  assert.deepEqual(items.map((item) => item.datasource_item_id).sort(), [0, 1]);
  const [item] = items;
  assert(item?.sample.output[0]?.content);
  assert.deepEqual(await runs.outputItems.retrieve(item.id, { ...of, run_id: run.id }), item);
  assert.deepEqual((await list(runs.list(made.id, { limit: 1 }))).map((one) => one.id), [
    run.id,
    other.id,
  ]);
  assert((await runs.delete(other.id, of)).deleted);
  assert((await evals.delete(made.id)).deleted);
  await assert.rejects(evals.retrieve(made.id), NotFoundError);
}

async function webhooks() {
  const { body, headers, secret, type } = hook;
  await client.webhooks.verifySignature(body, headers, secret);
  assert.equal((await client.webhooks.unwrap(body, headers, secret)).type, type);
  const forged = client.webhooks.unwrap(`${body} `, headers, secret);
  await assert.rejects(forged, InvalidWebhookSignatureError);
}

type Key = { id: string; value: string };
const newKey = (project: string, body: object) =>
  real.post<Key>(`/organization/projects/${project}/api_keys`, {
    body,
    __security: { adminAPIKeyAuth: true },
  });

async function administration() {
  const { auditLogs, projects, usage } = client.admin.organization;
  const name = `node-${Date.now()}`;
  const project = await projects.create({ name });
  assert.equal((await projects.update(project.id, { name })).id, project.id);
  assert.equal((await projects.retrieve(project.id)).id, project.id);
  assert((await list(projects.list({ limit: 1 }))).some((one) => one.id === project.id));
  const made = await newKey(project.id, { name: "bot" });
  const of = { project_id: project.id };
  assert.deepEqual((await list(projects.apiKeys.list(project.id))).map((one) => one.id), [made.id]);
  assert.equal((await projects.apiKeys.retrieve(made.id, of)).name, "bot");
  assert((await projects.apiKeys.delete(made.id, of)).deleted);
  const accounts = projects.serviceAccounts;
  const account = await accounts.create(project.id, { name: "nightly" });
  assert.equal((await accounts.retrieve(account.id, of)).role, "member");
  assert.equal((await accounts.update(account.id, { ...of, role: "owner" })).role, "owner");
  assert.deepEqual((await list(accounts.list(project.id))).map((one) => one.id), [account.id]);
  assert((await accounts.apiKeys.create(account.id, { ...of, name: "second" })).value);
  assert((await accounts.delete(account.id, of)).deleted);
  const adminKeys = client.admin.organization.adminAPIKeys;
  const adminKey = await adminKeys.create({ name: "infrastructure" });
  assert.equal((await adminKeys.retrieve(adminKey.id)).name, "infrastructure");
  assert((await list(adminKeys.list({ limit: 1 }))).some((one) => one.id === adminKey.id));
  assert((await adminKeys.delete(adminKey.id)).deleted);
  const shared = String((await client.fineTuning.jobs.retrieve(tuned)).fine_tuned_model);
  const { permissions } = client.fineTuning.checkpoints;
  const [granted] = await list(permissions.create(shared, { project_ids: [project.id] }));
  const permission = String(granted?.id);
  assert.deepEqual((await list(permissions.list(shared))).map((one) => one.id), [permission]);
  assert.equal((await permissions.retrieve(shared)).data[0]?.id, permission);
  const checkpoint = { fine_tuned_model_checkpoint: shared };
  assert((await permissions.delete(permission, checkpoint)).deleted);
  const ended = await projects.create({ name: `${name}-ended` });
  assert.equal((await projects.archive(ended.id)).status, "archived");
  const logs = await auditLogs.list({ event_types: ["project.created"], limit: 1 });
  assert.equal(logs.data[0]?.type, "project.created");
  const start_time = Math.floor(Date.now() / 1000) - 3600;
  assert((await usage.completions({ start_time, bucket_width: "1h" })).data.length > 0);
  return project.id;
}

async function errors(project: string) {
  const as = (apiKey: string) => real.withOptions({ apiKey });
  await assert.rejects(as("sk-wrong").models.list(), AuthenticationError);
  await assert.rejects(real.chat.completions.create({ ...chat, model: "gpt-4o" }), NotFoundError);
  const hot = real.chat.completions.create({ ...chat, temperature: 3 });
  await assert.rejects(hot, BadRequestError);
  const bot = await newKey(project, { name: "bot", role: "inference" });
  await assert.rejects(as(bot.value).files.list(), PermissionDeniedError);
  const slow = await newKey(project, { name: "slow", limits: { requests_per_minute: 1 } });
  const asked = [1, 2].map(() => as(slow.value).chat.completions.create(chat));
  const refused = (await Promise.allSettled(asked)).flatMap((one) =>
    one.status === "rejected" ? [one.reason] : [],
  );
  assert(refused.length > 0 && refused.every((error) => error instanceof RateLimitError));
  assert(refused.every((error) => Number((error as APIError).headers?.get("retry-after")) > 0));
}

/** The answer with what vLLM omits, and with what the SDK adds to answers but not to events. */
function complete(name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (name === "logprobs" && "content" in value) return { refusal: null, ...value };
  if (Reflect.get(value, "object") !== "response") return value;
  return { error: null, output_text: "", ...value };
}

/** An assertion that the answer is of the type that the SDK declares for the method. */
function assertion([method, answer]: [string, object]): string {
  const type = method.replace(/[^.]+\.?/g, (name) => `["${name.replace(".", "")}"]`);
  const isKnown = (name: string, value: unknown) =>
    known.some(
      (one: Known) =>
        method.startsWith(one.method) && name === one.field && value === one.value,
    );
  const json = JSON.stringify(answer, (name, value) =>
    isKnown(name, value) ? "KNOWN" : complete(name, value),
  ).replaceAll('"KNOWN"', "known");
  return `of<Answer<OpenAI${type}>>(literally(${json}));\n`;
}

const file = await files();
await uploads();
await jobs(file);
await graders();
await models();
await chats();
await storedChats();
await completions();
await responses();
await embeddings();
await batches();
await evals();
await webhooks();
await errors(await administration());
writeFileSync(
  "answers.ts",
  `import type OpenAI from "openai";

type Item<T> = T extends { getPaginatedItems(): (infer I)[] }
  ? I
  : T extends AsyncIterable<infer E>
    ? E
    : T;
// Like OpenAI, this service sends null for an optional field without a value.
type Sent<T> = T extends (infer I)[]
  ? Sent<I>[]
  : T extends object
    ? { [K in keyof T]: object extends Pick<T, K> ? Sent<T[K]> | null : Sent<T[K]> }
    : T;
type Answer<M> = M extends (...args: never[]) => infer R ? Sent<Item<Awaited<R>>> : never;
declare const known: never;
type Writable<V> = { -readonly [K in keyof V]: Writable<V[K]> };
const literally = <const V>(value: V) => value as Writable<V>;
const of = <T>(value: T) => value;
${[...new Set(answers.map(assertion))].join("")}`,
);
console.log(JSON.stringify({ called: [...called], methods: methods(real, "") }));
