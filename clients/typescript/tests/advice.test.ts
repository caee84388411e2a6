import { expect, test } from "vitest";
import { advise, deleteAdvice, getAdvice, NotFoundError, upload } from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

test("advice is awaited, from the check of the file on", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/fine_tuning/advice" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  const { id: training_file } = await upload(client, chats(60, "advice"));
  const advice = await advise(client, { model: BASE_MODEL, training_file });
  expect(advice).toMatchObject({ status: "completed", rows: 60, error: null });
  expect(["fix_data", "collect", "prompt", "retrieval", "train"]).toContain(advice.recommendation);
  expect(advice.base?.rows).toBe(20);
  expect(await getAdvice(client, advice.id)).toEqual(advice);
  await deleteAdvice(client, advice.id);
  await expect(getAdvice(client, advice.id)).rejects.toThrow(NotFoundError);
});

test("a file that does not exist is refused", async () => {
  const body = { model: BASE_MODEL, training_file: "file-unknown" };
  await expect(advise(service(), body)).rejects.toMatchObject({ param: "training_file" });
});
