import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ConflictError, DownloadError, type Finetuned, NotFoundError } from "../src/index.js";
import { downloadExport } from "../src/node.js";
import { newSha256 } from "../src/sha256.js";
import { between, MIB, noise, service } from "./support.js";

const model = process.env.FINETUNED_TEST_TUNED_MODEL ?? "";
/** An export that has succeeded, and one whose archive was damaged in storage. */
const READY = process.env.FINETUNED_TEST_EXPORT ?? "";
const DAMAGED = process.env.FINETUNED_TEST_DAMAGED_EXPORT ?? "";

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "finetuned-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

async function content(client: Finetuned, id: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of client.modelExports.stream(id)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("an export is created once, awaited, listed and deleted", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/model_exports" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  const { modelExports: exports } = client;
  const made = await exports.create({ model, format: "adapter" });
  expect(made).toMatchObject({ object: "model.export", model, status: "queued" });
  const seen: string[] = [];
  const onProgress = ({ status }: { status: string }) => void seen.push(status);
  // The model has no adapter in storage, so the worker cannot export it.
  const ended = await exports.wait(made.id, { onProgress });
  expect(ended.status).toBe("failed");
  expect(ended.error?.message).toBeTruthy();
  expect(seen.at(-1)).toBe("failed");
  expect(new Set(seen).size).toBe(seen.length);
  await expect(exports.cancel(made.id)).rejects.toThrow(ConflictError);
  await expect(content(client, made.id)).rejects.toThrow(ConflictError);
  const listed = await exports.list({ model });
  expect(listed.data.map(({ id }) => id)).toEqual([made.id, DAMAGED, READY]);
  await exports.delete(made.id);
  await expect(exports.retrieve(made.id)).rejects.toThrow(NotFoundError);
});

test("a broken download is resumed after its last byte", async () => {
  const whole = await content(service(), READY);
  const { result } = await service().modelExports.retrieve(READY);
  expect(createHash("sha256").update(whole).digest("hex")).toBe(result?.sha256);

  const proxy = await between((line, nth) =>
    line.endsWith("/content") ? ([{ bytes: 1000 }, "cut", { bytes: 1 }] as const)[nth] : undefined,
  );
  const path = join(await folder(), "voice.tar");
  const reports: number[] = [];
  await downloadExport(service({ baseURL: proxy.url, maxRetries: 0 }), READY, path, {
    onProgress: ({ receivedBytes }) => reports.push(receivedBytes),
  });
  expect(whole.equals(await readFile(path))).toBe(true);
  expect(proxy.requests.filter((line) => line.endsWith("/content"))).toHaveLength(4);
  expect(reports).toEqual([...reports].sort((a, b) => a - b));
  expect([reports[0], reports.at(-1)]).toEqual([0, result?.bytes]);
});

test("bytes with another digest are no download", async () => {
  const parent = await folder();
  const downloading = downloadExport(service(), DAMAGED, join(parent, "voice.tar"));
  await expect(downloading).rejects.toThrow(DownloadError);
  expect(await readdir(parent)).toEqual([]);
});

test("a proxy without ranges is an error instead of a damaged archive", async () => {
  const proxy = await between((line, nth) =>
    line.endsWith("/content") && nth === 0 ? { bytes: 1000 } : undefined,
  );
  const withoutRange: typeof fetch = (input, init) => {
    const headers = new Headers(init?.headers);
    headers.delete("range");
    return fetch(input, { ...init, headers });
  };
  const client = service({ baseURL: proxy.url, maxRetries: 0, fetch: withoutRange });
  await expect(content(client, READY)).rejects.toThrow(/a proxy ignores Range/);
});

test("a download that cannot be resumed in time fails, and leaves no file", async () => {
  const proxy = await between((line) => (line.endsWith("/content") ? { bytes: 0 } : undefined));
  const parent = await folder();
  const client = service({ baseURL: proxy.url, maxRetries: 0 });
  const downloading = downloadExport(client, READY, join(parent, "x.tar"), { patience: 100 });
  await expect(downloading).rejects.toThrow(/The download broke/);
  expect(await readdir(parent)).toEqual([]);
});

test("SHA-256 is the same in browsers and Node", () => {
  const bytes = noise(MIB + 5);
  const digest = newSha256();
  digest.update(bytes.subarray(0, 100));
  digest.update(bytes.subarray(100));
  expect(digest.hex()).toBe(createHash("sha256").update(bytes).digest("hex"));
});
