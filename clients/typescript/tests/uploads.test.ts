import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  APIUserAbortError,
  type Finetuned,
  FinetunedError,
  UploadError,
  type UploadProgress,
} from "../src/index.js";
import { newMd5 } from "../src/md5.js";
import { uploadPath } from "../src/node.js";
import { between, chats, MIB, type Middle, noise, service } from "./support.js";

const PART = 256 * 1024;
const options = { purpose: "user_data", partBytes: PART, filename: "noise.bin" } as const;

async function content(client: Finetuned, id: string): Promise<Uint8Array> {
  return new Uint8Array(await (await client.files.content(id)).arrayBuffer());
}

function partsSent(proxy: Middle): number {
  return proxy.requests.filter((line) => line.startsWith("POST") && line.endsWith("/parts")).length;
}

test("a file is uploaded in parts, with progress", async () => {
  const client = service();
  const bytes = noise(3 * MIB + 17);
  const reports: UploadProgress[] = [];
  const file = await client.files.upload(new Blob([bytes]), {
    ...options,
    onProgress: (p) => reports.push(p),
  });
  expect(file).toMatchObject({ bytes: bytes.length, filename: "noise.bin", purpose: "user_data" });
  expect(Buffer.compare(await content(client, file.id), bytes)).toBe(0);
  expect(reports).toHaveLength(14);
  expect(reports.map((p) => p.sentBytes)).toEqual(
    reports.map((p) => p.sentBytes).sort((a, b) => a - b),
  );
  expect(reports[0]?.sentBytes).toBe(0);
  expect(reports.at(-1)).toMatchObject({ sentBytes: bytes.length, totalBytes: bytes.length });
});

test("parts are sent in parallel", async () => {
  let now = 0;
  let most = 0;
  const counting: typeof fetch = async (input, init) => {
    const isPart = String(input).endsWith("/parts");
    now += isPart ? 1 : 0;
    most = Math.max(most, now);
    return fetch(input, init).finally(() => {
      now -= isPart ? 1 : 0;
    });
  };
  await service({ fetch: counting }).files.upload(new Blob([noise(3 * MIB)]), {
    ...options,
    parallel: 3,
  });
  expect(most).toBe(3);
});

test("an interrupted upload resumes with the missing parts", async () => {
  const bytes = noise(8 * PART);
  const proxy = await between((line) =>
    line.endsWith("/parts") && partsSent(proxy) > 5 ? "cut" : undefined,
  );
  const lossy = service({ baseURL: proxy.url, maxRetries: 0 });
  const failed = await lossy.files
    .upload(new Blob([bytes]), { ...options, parallel: 1 })
    .catch((e) => e);
  expect(failed).toBeInstanceOf(UploadError);
  expect(failed.message).toContain(failed.uploadId);

  const whole = await between(() => undefined);
  const client = service({ baseURL: whole.url });
  const again = { ...options, resume: failed.uploadId as string };
  const file = await client.files.upload(new Blob([bytes]), again);
  expect(partsSent(whole)).toBe(3);
  expect(Buffer.compare(await content(client, file.id), bytes)).toBe(0);
  expect((await client.files.upload(new Blob([bytes]), again)).id).toBe(file.id); // after its end
  expect(partsSent(whole)).toBe(3);
});

test("parts with the same bytes are each used once", async () => {
  const bytes = new Uint8Array(4 * PART);
  const proxy = await between((line, nth) =>
    line.endsWith("/parts") && nth === 2 ? "cut" : undefined,
  );
  const lossy = service({ baseURL: proxy.url, maxRetries: 0 });
  const failed = await lossy.files
    .upload(new Blob([bytes]), { ...options, parallel: 1 })
    .catch((e) => e);
  const file = await service().files.upload(new Blob([bytes]), {
    ...options,
    resume: failed.uploadId,
  });
  expect(Buffer.compare(await content(service(), file.id), bytes)).toBe(0);
});

test("a part whose response was lost is resent and counted once", async () => {
  const bytes = noise(4 * PART);
  const proxy = await between((line, nth) =>
    (line.endsWith("/parts") && nth === 1) || (line.endsWith("/complete") && nth === 0)
      ? "swallow"
      : undefined,
  );
  const file = await service({ baseURL: proxy.url }).files.upload(new Blob([bytes]), options);
  expect(partsSent(proxy)).toBe(5);
  expect(Buffer.compare(await content(service(), file.id), bytes)).toBe(0);
});

test("another file does not resume an upload", async () => {
  const proxy = await between((line) => (line.endsWith("/parts") ? "cut" : undefined));
  const lossy = service({ baseURL: proxy.url, maxRetries: 0 });
  const failed = await lossy.files.upload(new Blob([noise(PART)]), options).catch((e) => e);
  const resume = failed.uploadId as string;
  await expect(service().files.upload(new Blob(["short"]), { ...options, resume })).rejects.toThrow(
    /Start a new one/,
  );
  await service().uploads.cancel(resume);
  await expect(
    service().files.upload(new Blob([noise(PART)]), { ...options, resume }),
  ).rejects.toThrow(/is cancelled/);
});

test("a signal aborts an upload, which can be resumed", async () => {
  const bytes = noise(6 * PART);
  const stop = new AbortController();
  let uploadId = "";
  const onProgress = (p: UploadProgress) => {
    uploadId = p.uploadId;
    if (p.sentBytes >= 2 * PART) stop.abort(new Error("enough"));
  };
  const { signal } = stop;
  const aborted = await service()
    .files.upload(new Blob([bytes]), { ...options, parallel: 1, onProgress, signal })
    .catch((error) => error);
  expect(aborted).toBeInstanceOf(APIUserAbortError);
  expect(aborted.cause).toMatchObject({ message: "enough" });
  const file = await service().files.upload(new Blob([bytes]), { ...options, resume: uploadId });
  expect(Buffer.compare(await content(service(), file.id), bytes)).toBe(0);
});

test("a file at a path is uploaded, and its rows are checked", async () => {
  const folder = await mkdtemp(join(tmpdir(), "finetuned-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, "chats.jsonl");
  await writeFile(path, await chats(300, "path").text());
  const client = service();
  const { id } = await uploadPath(client, path, { partBytes: 10_000 });
  const file = await client.files.wait(id);
  expect(file).toMatchObject({ status: "processed", rows: 300, filename: "chats.jsonl" });
});

test("a path that cannot be read is an error of the client", async () => {
  const missing = await uploadPath(service(), "/nowhere/chats.jsonl").catch((error) => error);
  expect(missing).toBeInstanceOf(FinetunedError);
  expect(missing.message).toBe("Cannot read /nowhere/chats.jsonl: ENOENT.");
});

test("an empty file is refused before anything is sent", async () => {
  await expect(service().files.upload(new File([], "empty.jsonl"))).rejects.toThrow(
    /empty.jsonl is empty/,
  );
});

test("MD5 is the same in browsers and Node", () => {
  const bytes = noise(3 * MIB + 5);
  const digest = newMd5();
  digest.update(bytes.subarray(0, 100));
  digest.update(bytes.subarray(100));
  expect(digest.hex()).toBe(createHash("md5").update(bytes).digest("hex"));
});
