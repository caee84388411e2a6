import { expect, onTestFinished, test, vi } from "vitest";
import { Finetuned, FinetunedError, Page } from "../src/index.js";
import { pollOf, waitFor } from "../src/wait.js";
import { BASE_MODEL, between, service } from "./support.js";

/** A client that notes the requests that it sends. */
function noting(): { client: Finetuned; sent: { url: URL; headers: Headers }[] } {
  const sent: { url: URL; headers: Headers }[] = [];
  const noted: typeof fetch = (input, init) => {
    sent.push({ url: new URL(String(input)), headers: new Headers(init?.headers) });
    return fetch(input, init);
  };
  return { client: service({ fetch: noted, defaultHeaders: { "x-program": "tests" } }), sent };
}

test("a result has the id of its request, which JSON omits", async () => {
  const models = await service().models.list();
  const me = await service().whoami();
  expect(models._request_id).toMatch(/^req_/);
  expect(me._request_id).toMatch(/^req_/);
  expect(JSON.stringify(me)).not.toContain("_request_id");
});

test("the raw response is there, with and without its body", async () => {
  const raw = await service().models.retrieve(BASE_MODEL).asResponse();
  expect(raw.headers.get("content-type")).toBe("application/json");
  expect(await raw.json()).toMatchObject({ id: BASE_MODEL });
  const { data, response, request_id } = await service().models.retrieve(BASE_MODEL).withResponse();
  expect(data.id).toBe(BASE_MODEL);
  expect(request_id).toBe(response.headers.get("x-request-id"));
});

test("options of a request replace those of the client", async () => {
  const { client, sent } = noting();
  await client.recognizers.list({}, { headers: { "x-program": null, "x-other": "1" } });
  expect(sent[0]?.headers.get("x-program")).toBeNull();
  expect(sent[0]?.headers.get("x-other")).toBe("1");
  await client.withOptions({ defaultHeaders: {} }).whoami();
  expect(sent[1]?.headers.get("x-program")).toBeNull();
  await client.whoami();
  expect(sent[2]?.headers.get("x-program")).toBe("tests");

  const proxy = await between(() => ({ status: 503 }));
  const lossy = client.withOptions({ baseURL: proxy.url, maxRetries: 0 });
  await expect(lossy.whoami()).rejects.toMatchObject({ status: 503 });
  await expect(lossy.whoami({ maxRetries: 1 })).rejects.toMatchObject({ status: 503 });
  expect(proxy.requests).toHaveLength(3);
  const slow = await between(() => "hang");
  const asking = lossy.withOptions({ baseURL: slow.url }).whoami({ timeout: 50 });
  await expect(asking).rejects.toThrow(/did not respond within 0.05 s/);
});

test("each POST has an idempotency key, and all of its retries have the same one", async () => {
  const { client, sent } = noting();
  const proxy = await between((_, nth) => (nth === 0 ? { status: 429 } : undefined));
  const lossy = client.withOptions({ baseURL: proxy.url });
  await expect(lossy.batches.cancel("batch_unknown")).rejects.toMatchObject({ status: 404 });
  await expect(lossy.batches.cancel("batch_other")).rejects.toMatchObject({ status: 404 });
  const keys = sent.map(({ headers }) => headers.get("idempotency-key"));
  expect(keys[0]).toMatch(/^[0-9a-f]{32}$/);
  expect(keys[1]).toBe(keys[0]);
  expect(new Set(keys).size).toBe(2);
});

test("a request that never arrived is retried, whatever it is", async () => {
  let tries = 0;
  const refused: typeof fetch = () => {
    tries += 1;
    const cause = Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    return Promise.reject(new TypeError("fetch failed", { cause }));
  };
  const client = service({ fetch: refused, maxRetries: 2 });
  await expect(client.aliases.rollback("any")).rejects.toThrow(/ECONNREFUSED/);
  expect(tries).toBe(3);
});

test("a client with other options keeps its address and key", async () => {
  const sent: Request[] = [];
  const noted: typeof fetch = async (input, init) => {
    sent.push(new Request(input, init));
    return Response.json({});
  };
  onTestFinished(() => void vi.unstubAllEnvs());
  vi.stubEnv("FINETUNED_BASE_URL", "http://first");
  vi.stubEnv("FINETUNED_API_KEY", "one");
  const client = new Finetuned({ fetch: noted });
  vi.stubEnv("FINETUNED_BASE_URL", "http://second");
  vi.stubEnv("FINETUNED_API_KEY", "two");
  await client.withOptions({ timeout: 5_000 }).whoami();
  expect(sent[0]?.url).toBe("http://first/v1/whoami");
  expect(sent[0]?.headers.get("authorization")).toBe("Bearer one");
});

test("lists have pages, and iterate over the objects of all pages", async () => {
  const { client, sent } = noting();
  const names = ["page_one", "page_two", "page_three"];
  for (const name of names) await client.recognizers.set(name, { terms: [name] });
  sent.length = 0;
  const all: string[] = [];
  for await (const one of client.recognizers.list({ limit: 2 })) all.push(one.id);
  expect(all).toEqual(expect.arrayContaining(names));
  expect(sent).toHaveLength(Math.ceil(all.length / 2));

  const first = await client.recognizers.list({ limit: 2 });
  expect(first).toBeInstanceOf(Page);
  expect(first.data.map(({ id }) => id)).toEqual(all.slice(0, 2));
  expect(first.hasNextPage()).toBe(true);
  const second = await first.getNextPage();
  expect(second.data.map(({ id }) => id)).toEqual(all.slice(2, 4));
  const pages = [];
  for await (const page of first.iterPages()) pages.push(page);
  expect(pages.flatMap(({ data }) => data.map(({ id }) => id))).toEqual(all);
  const last = pages.at(-1);
  expect(last?.hasNextPage()).toBe(false);
  await expect(last?.getNextPage()).rejects.toThrow(FinetunedError);
});

test("filters with keys and lists are sent as the API reads them", async () => {
  const { client, sent } = noting();
  await client.fineTuning.jobs.list({ metadata: { team: "a&b", x: "1" } });
  expect([...(sent[0]?.url.searchParams ?? [])]).toEqual([
    ["metadata[team]", "a&b"],
    ["metadata[x]", "1"],
  ]);
  await client
    .get("/models", { query: { ids: ["a", "b"], after: undefined, none: null } })
    .asResponse();
  expect(sent[1]?.url.search).toBe("?ids=a&ids=b");
});

test("ids are quoted in paths, and may not be empty", async () => {
  const { client, sent } = noting();
  await expect(client.aliases.retrieve("a/b?c")).rejects.toMatchObject({ status: 404 });
  expect(sent[0]?.url.pathname).toBe("/v1/aliases/a%2Fb%3Fc");
  expect(() => client.files.delete("")).toThrow(/id is empty/);
});

test("waiting ends after the time that is given", async () => {
  const waiting = waitFor(async () => ({ status: "in_progress" }), { maxWait: 10 });
  await expect(waiting).rejects.toThrow(/did not end within 0.01 s/);
});

test("the service waits no longer than is left, and may respond after the client's timeout", async () => {
  const waits: number[] = [];
  const waiting = waitFor(
    async (_, wait) => {
      waits.push(wait);
      return { status: "in_progress" };
    },
    { maxWait: 10 },
  );
  await expect(waiting).rejects.toThrow(/did not end/);
  expect(new Set(waits)).toEqual(new Set([0]));
  expect(pollOf(30, { signal: null })).toEqual({ signal: null, timeout: 90_000 });
});

test("waiting goes on while the service restarts", async () => {
  const proxy = await between((_, nth) => (nth < 2 ? "cut" : undefined));
  const client = service({ baseURL: proxy.url, maxRetries: 0 });
  const file = await service().files.upload(new Blob(["note"]), {
    purpose: "user_data",
    filename: "note.txt",
  });
  expect((await client.files.wait(file.id)).status).toBe("processed");
  const lost = await between(() => "cut");
  const waiting = service({ baseURL: lost.url, maxRetries: 0 }).files.wait(file.id, {
    patience: 10,
  });
  await expect(waiting).rejects.toThrow(/No response from/);
});
