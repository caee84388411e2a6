import { expect, test } from "vitest";
import { ConflictError, NotFoundError } from "../src/index.js";
import { BASE_MODEL, between, service } from "./support.js";

test("a generation is created once, awaited, listed and deleted", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/dataset_generations" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  // The document says too little to ask about, so no engine is needed.
  const note = new File(["Closed on Mondays."], "note.txt");
  const document = await client.files.upload(note, { purpose: "user_data" });
  const { datasetGenerations: generations } = client;
  const made = await generations.create({
    document_ids: [document.id],
    model: BASE_MODEL,
    n: 5,
  });
  expect(made).toMatchObject({ object: "dataset.generation", status: "queued", n: 5 });
  const seen: string[] = [];
  const onProgress = ({ status }: { status: string }) => void seen.push(status);
  const ended = await generations.wait(made.id, { onProgress });
  expect(ended).toMatchObject({ status: "failed" });
  expect(ended.error?.code).toBe("empty_documents");
  expect(seen.at(-1)).toBe("failed");
  expect(new Set(seen).size).toBe(seen.length);
  await expect(generations.cancel(made.id)).rejects.toThrow(ConflictError);
  expect((await generations.list()).data.map(({ id }) => id)).toEqual([made.id]);
  await generations.delete(made.id);
  await expect(generations.retrieve(made.id)).rejects.toThrow(NotFoundError);
});
