import { inspect } from "node:util";
import { expect, test } from "vitest";
import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  type ClientOptions,
  Finetuned,
  FinetunedError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from "../src/index.js";
import { between, service } from "./support.js";

const models = (options: ClientOptions) => service(options).models.list();

test("an error has the service's details and a next step", async () => {
  const refused = await service()
    .files.retrieve("file-unknown")
    .catch((error) => error);
  expect(refused).toBeInstanceOf(NotFoundError);
  expect(refused).toMatchObject({
    name: "NotFoundError",
    status: 404,
    type: "invalid_request_error",
  });
  expect(refused.param).toBe("id");
  expect(refused.requestID).toMatch(/^req_/);
  expect(refused.message).toContain(refused.requestID);
  expect(refused.message).toContain("No such File object");
  expect(refused.message).toContain("Check the id");
});

test("each status has its class", async () => {
  await expect(models({ apiKey: "sk-wrong" })).rejects.toThrow(AuthenticationError);
  const { projects } = service().admin.organization;
  await expect(projects.list()).rejects.toThrow(PermissionDeniedError);
  await expect(service().files.list({ limit: 0 })).rejects.toThrow(BadRequestError);
});

test("a proxy's error page is an error too", async () => {
  const proxy = await between(() => ({ status: 502, headers: { "content-type": "text/html" } }));
  const failed = await models({ baseURL: proxy.url, maxRetries: 0 }).catch((error) => error);
  expect(failed).toBeInstanceOf(InternalServerError);
  expect(failed).toMatchObject({ status: 502, code: undefined, requestID: null });
});

test("a missing response is an APIConnectionError that says what to check", async () => {
  const closed = await between(() => undefined);
  await closed.close();
  const failed = await models({ baseURL: closed.url, maxRetries: 0 }).catch((error) => error);
  expect(failed).toBeInstanceOf(APIConnectionError);
  expect(failed).toBeInstanceOf(APIError); // as in OpenAI's SDK
  expect(failed.status).toBeUndefined();
  expect(failed.message).toMatch(/ECONNREFUSED.*Check baseURL/);
});

test("a late response is an APIConnectionTimeoutError", async () => {
  const proxy = await between(() => "hang");
  const asking = models({ baseURL: proxy.url, maxRetries: 0, timeout: 100 });
  await expect(asking).rejects.toThrow(APIConnectionTimeoutError);
});

test("reads are retried after temporary errors", async () => {
  const faults = [
    "cut",
    { status: 503, headers: { "retry-after": "0" } },
    { status: 500 },
  ] as const;
  const proxy = await between((_, nth) => faults[nth]);
  expect((await models({ baseURL: proxy.url })).data.length).toBeGreaterThan(0);
  expect(proxy.requests).toHaveLength(4);
});

test("a request that may have taken effect is not retried", async () => {
  for (const fault of ["cut", { status: 503 }] as const) {
    const proxy = await between(() => fault);
    const asking = service({ baseURL: proxy.url }).aliases.rollback("any");
    await expect(asking).rejects.toThrow(FinetunedError);
    expect(proxy.requests).toHaveLength(1);
  }
});

test("a request that had no effect is retried", async () => {
  const proxy = await between((_, nth) => (nth === 0 ? { status: 429 } : undefined));
  const asking = service({ baseURL: proxy.url }).aliases.rollback("any");
  await expect(asking).rejects.toThrow(NotFoundError);
  expect(proxy.requests).toHaveLength(2);
});

test.each([
  { status: 503, headers: { "x-should-retry": "false" } },
  { status: 429, headers: { "retry-after": "3600" } },
  { status: 404 },
])("an answer that says so is not asked for again: %o", async (fault) => {
  const proxy = await between(() => fault);
  await expect(models({ baseURL: proxy.url })).rejects.toMatchObject({ status: fault.status });
  expect(proxy.requests).toHaveLength(1);
});

test("retries end", async () => {
  const proxy = await between(() => ({ status: 429 }));
  await expect(models({ baseURL: proxy.url, maxRetries: 1 })).rejects.toThrow(RateLimitError);
  expect(proxy.requests).toHaveLength(2);
});

test("a signal interrupts the wait before a retry", async () => {
  const proxy = await between(() => ({ status: 429, headers: { "retry-after": "30" } }));
  const signal = AbortSignal.timeout(200);
  const asking = service({ baseURL: proxy.url }).get<object>("/models", { signal });
  const aborted = await asking.catch((error) => error);
  expect(aborted).toBeInstanceOf(APIUserAbortError);
  expect(aborted.cause).toMatchObject({ name: "TimeoutError" });
});

test("no log of the client shows its key", () => {
  const client = service({ apiKey: "sk-secret" });
  expect(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)).not.toContain(
    "sk-secret",
  );
  const { apiKey, adminAPIKey } = client.openaiOptions();
  expect([apiKey, adminAPIKey]).toEqual(["sk-secret", "sk-secret"]);
});

test("the address may end in /v1 or not", () => {
  const given = [
    "http://a.example",
    "http://a.example/",
    "http://a.example/v1",
    "http://a.example/v1/",
  ];
  for (const baseURL of given) expect(service({ baseURL }).baseURL).toBe("http://a.example/v1");
  expect(service({ baseURL: "http://a.example/ft/v1" }).baseURL).toBe("http://a.example/ft/v1");
});

test("a body that breaks, is aborted or is no JSON is an error of this package", async () => {
  const answering = (body: BodyInit) =>
    new Finetuned({
      apiKey: "k",
      baseURL: "http://server",
      fetch: async () => new Response(body),
    });
  const broken = () =>
    new ReadableStream({ pull: (one) => one.error(new TypeError("terminated")) });
  await expect(answering(broken()).whoami()).rejects.toThrow(APIConnectionError);
  await expect(answering(broken()).files.list()).rejects.toThrow(APIConnectionError);
  const aborted = new AbortController();
  const asking = answering(
    new ReadableStream({
      pull: (one) => {
        aborted.abort();
        one.error(aborted.signal.reason);
      },
    }),
  ).whoami({ signal: aborted.signal });
  await expect(asking).rejects.toThrow(APIUserAbortError);
  await expect(answering("<html>").whoami()).rejects.toThrow(APIError);
  await expect(answering("{}").files.list()).rejects.toThrow(/not a list/);
  await expect(answering("[]").files.list()).rejects.toThrow(APIError);
});
