import { expect, test } from "vitest";
import {
  ConflictError,
  cancelGeneration,
  deleteGeneration,
  generate,
  getGeneration,
  listGenerations,
  NotFoundError,
  upload,
  waitForGeneration,
} from "../src/index.js";
import { BASE_MODEL, between, service } from "./support.js";

test("a generation is created once, awaited, listed and deleted", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/datasets/generate" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  // The document says too little to ask about, so no engine is needed.
  const note = new File(["Closed on Mondays."], "note.txt");
  const document = await upload(client, note, { purpose: "user_data" });
  const made = await generate(client, { documents: [document.id], model: BASE_MODEL, n: 5 });
  expect(made).toMatchObject({ object: "dataset.generation", status: "queued", n: 5 });
  const seen: string[] = [];
  const onProgress = ({ status }: { status: string }) => void seen.push(status);
  const ended = await waitForGeneration(client, made.id, { onProgress });
  expect(ended).toMatchObject({ status: "failed", output_file_id: null });
  expect(ended.error?.code).toBe("empty_documents");
  expect(seen.at(-1)).toBe("failed");
  expect(new Set(seen).size).toBe(seen.length);
  await expect(cancelGeneration(client, made.id)).rejects.toThrow(ConflictError);
  const listed: string[] = [];
  for await (const one of listGenerations(client)) listed.push(one.id);
  expect(listed).toEqual([made.id]);
  await deleteGeneration(client, made.id);
  await expect(getGeneration(client, made.id)).rejects.toThrow(NotFoundError);
});
