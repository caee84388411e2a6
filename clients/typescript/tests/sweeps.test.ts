import { expect, test } from "vitest";
import { NotFoundError } from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

test("a sweep is created once, listed, cancelled and awaited", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/sweeps" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  const file = await client.files.upload(chats(20, "sweeps"));
  const { sweeps } = client;
  const made = await sweeps.create({
    model: BASE_MODEL,
    training_file: file.id,
    hyperparameters: { validation_share: 0.25 },
    values: { learning_rate: [0.0002, 0.001] },
  });
  expect(made).toMatchObject({ object: "sweep", result: null });
  expect((await sweeps.list()).data.map(({ id }) => id)).toEqual([made.id]);
  await sweeps.cancel(made.id);
  const seen: string[] = [];
  const ended = await sweeps.wait(made.id, { onProgress: (one) => seen.push(one.status) });
  expect(ended.status).toBe("cancelled");
  expect(ended.trials.map(({ status }) => status)).toEqual(["cancelled", "cancelled"]);
  expect(seen.at(-1)).toBe("cancelled");
  await expect(sweeps.retrieve("ftsweep-unknown")).rejects.toThrow(NotFoundError);
});
