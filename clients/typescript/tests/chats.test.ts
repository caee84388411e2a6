import { expect, test } from "vitest";
import { BadRequestError } from "../src/index.js";
import { service } from "./support.js";

test("without stored chats of a model there is no training file, and nothing to delete", async () => {
  const client = service();
  const made = client.datasets.chatCompletions.create({ model: "unknown", limit: 10 });
  await expect(made).rejects.toThrow(BadRequestError);
  await expect(made).rejects.toThrow(/No stored chat completion/);
  const admin = service({ apiKey: process.env.FINETUNED_TEST_ADMIN_KEY ?? "" });
  const gone = await admin.chat.completions.deleteAll({ model: "unknown" });
  expect(gone).toMatchObject({ deleted: true, count: 0 });
});
