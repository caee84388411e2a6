import OpenAI from "openai";
import { expect, test } from "vitest";
import { AuthenticationError, PermissionDeniedError } from "../src/index.js";
import { service } from "./support.js";

const admin = service({ apiKey: process.env.FINETUNED_TEST_ADMIN_KEY ?? "" });
const { projects } = admin.admin.organization;

test("a key has the role, models and secrets that an admin gives it", async () => {
  const { id } = (await service().whoami()).project;
  const made = await projects.apiKeys.create(id, {
    name: "bot",
    role: "inference",
    models: ["support"],
  });
  const bot = service({ apiKey: made.value });
  expect((await bot.whoami()).api_key).toMatchObject({ id: made.id, role: "inference" });
  await expect(bot.admin.organization.projects.create({ name: "x" })).rejects.toThrow(
    PermissionDeniedError,
  );

  const changed = await projects.apiKeys.update(made.id, {
    project_id: id,
    allowed_ips: ["127.0.0.1"],
  });
  expect(changed).toMatchObject({ models: ["support"], allowed_ips: ["127.0.0.1/32"] });
  const rotated = await projects.apiKeys.rotate(made.id, {
    project_id: id,
    overlap_seconds: 0,
  });
  await expect(bot.whoami()).rejects.toThrow(AuthenticationError);
  await service({ apiKey: rotated.value }).whoami();
  const again = await projects.apiKeys.rotate(made.id, { project_id: id });
  expect(again.previous_secrets).toHaveLength(1);
});

test("OpenAI's SDK makes service accounts with the options of the client", async () => {
  const { id } = (await admin.whoami()).project;
  const openai = new OpenAI(admin.openaiOptions());
  const { serviceAccounts } = openai.admin.organization.projects;
  const account = await serviceAccounts.create(id, { name: "nightly" });
  const key = service({ apiKey: account.api_key?.value ?? "" });
  expect((await key.whoami()).api_key.role).toBe("member");
  await serviceAccounts.delete(account.id, { project_id: id });
  await expect(key.whoami()).rejects.toThrow(AuthenticationError);
});

test("a project has a storage quota and is deleted", async () => {
  const { id } = await projects.create({ name: "typescript", limits: {} });
  const limited = await projects.update(id, { limits: { storage_bytes: 1_000_000 } });
  expect(limited.limits.storage_bytes).toBe(1_000_000);
  expect(await projects.retrieve(id)).toMatchObject({ status: "active", storage_bytes_used: 0 });
  expect((await projects.delete(id)).status).toBe("deleting");
});

test("rows are found by their text and erased, with a receipt", async () => {
  const { id } = await projects.create({ name: "erasing" });
  const { value } = await projects.apiKeys.create(id, { name: "owner", role: "project_admin" });
  const client = service({ apiKey: value });
  const row = (question: string) =>
    JSON.stringify({
      messages: [
        { role: "user", content: question },
        { role: "assistant", content: "A" },
      ],
    });
  const rows = Array.from({ length: 12 }, (_, n) =>
    row(n === 3 ? "I am Tanaka." : `Question ${n}`),
  );
  const file = await client.files.upload(new File([rows.join("\n")], "chats.jsonl"));
  await client.files.wait(file.id);

  const match = { type: "substring" as const, value: "Tanaka" };
  const { erasures } = client.admin.organization;
  const done = await erasures.createAndWait({ match, apply: true });
  expect(done).toMatchObject({
    status: "completed",
    result: { files: [{ file_id: file.id, lines: [4] }] },
  });
  const receipts = await client.erasureReceipts.list({ subject_id: file.id });
  expect(receipts.data).toHaveLength(1);
  const receipt = await client.erasureReceipts.retrieve(receipts.data[0]?.id ?? "");
  expect(receipt).toMatchObject({ subject: "file", subject_id: file.id });
});
