import { expect, test } from "vitest";
import { NotFoundError } from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

test("advice is created once and awaited", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/advice" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  const { id: training_file_id } = await client.files.upload(chats(60, "advice"));
  await client.files.wait(training_file_id);
  const { advice: routes } = client;
  const made = await routes.create({ model: BASE_MODEL, training_file_id });
  const advice = await routes.wait(made.id);
  expect(advice).toMatchObject({ object: "advice", status: "completed", error: null });
  const { rows, base, recommendation } = advice.result ?? {};
  expect(rows).toBe(60);
  expect(base?.rows).toBe(20);
  expect(["fix_data", "collect", "prompt", "retrieval", "train"]).toContain(recommendation);
  expect(await routes.retrieve(advice.id)).toEqual(advice);
  await routes.delete(advice.id);
  await expect(routes.retrieve(advice.id)).rejects.toThrow(NotFoundError);
});

test("a file that does not exist is refused", async () => {
  const body = { model: BASE_MODEL, training_file_id: "file-unknown" };
  const refused = service().advice.create(body);
  await expect(refused).rejects.toMatchObject({ param: "training_file_id" });
});
