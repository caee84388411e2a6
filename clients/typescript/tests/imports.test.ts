import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { OperationFailedError } from "../src/index.js";
import { importModelPath } from "../src/node.js";
import { service } from "./support.js";

/** A base model, and the folder of an adapter that fits it. */
const base_model = process.env.FINETUNED_TEST_TINY_MODEL ?? "";
const FOLDER = process.env.FINETUNED_TEST_ADAPTER ?? "";

async function copied(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "finetuned-"));
  onTestFinished(() => rm(path, { recursive: true }));
  await cp(FOLDER, path, { recursive: true });
  return path;
}

test("a folder is imported, and its archive once more", async () => {
  const client = service();
  const folder = await copied();
  await writeFile(join(folder, "optimizer.pt"), "is not sent"); // the service refuses pickles
  const done = await importModelPath(client, folder, { base_model, suffix: "voice" });
  expect(done).toMatchObject({ status: "completed", base_model, error: null });
  const { model = "", skipped_files } = done.result ?? {};
  expect(skipped_files).toBe(0);
  expect(model).toMatch(`ft:${base_model}:`);
  expect(model).toContain(":voice:");
  expect(await client.models.retrieve(model)).toMatchObject({ base_model });

  const again = await client.modelImports.uploadAndWait(done.file_id, { base_model });
  expect(again.result?.model).not.toBe(model);
  expect(await client.modelImports.retrieve(done.id)).toEqual(done);
  const listed = await client.modelImports.list({ file_id: done.file_id });
  expect(listed.data.map(({ id }) => id)).toEqual([again.id, done.id]);
});

test("the files of a folder are imported, as a page has them", async () => {
  const files: File[] = [];
  for (const name of await readdir(FOLDER)) {
    files.push(new File([new Uint8Array(await readFile(join(FOLDER, name)))], name));
  }
  // Parts that end inside of headers and files.
  const done = await service().modelImports.uploadAndWait(
    files,
    { base_model },
    { partBytes: 700 },
  );
  expect(done).toMatchObject({ status: "completed", error: null });
});

test("a refused adapter throws the service's code", async () => {
  const folder = await copied();
  const archive = join(folder, "voice.tar");
  await writeFile(archive, "no archive");
  const refused = await importModelPath(service(), archive, { base_model }).catch((e) => e);
  expect(refused).toBeInstanceOf(OperationFailedError);
  expect(refused.code).toBe("not_an_archive");
  expect(refused.message).toContain("neither a tar nor a zip");
});

test("a folder without an adapter is refused before anything is sent", async () => {
  const folder = await copied();
  await rm(join(folder, "adapter_config.json"));
  const nowhere = service({ baseURL: "http://127.0.0.1:1", maxRetries: 0 });
  await expect(importModelPath(nowhere, folder, { base_model })).rejects.toThrow(
    /has no adapter_config\.json/,
  );
});
