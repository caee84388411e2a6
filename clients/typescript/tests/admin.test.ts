import OpenAI from "openai";
import { expect, test } from "vitest";
import {
  AuthenticationError,
  createErasure,
  createKey,
  createProject,
  deleteProject,
  getErasureReceipt,
  getProject,
  limitProject,
  listErasureReceipts,
  PermissionError,
  rotateKey,
  updateKey,
  upload,
  waitForErasure,
  whoami,
} from "../src/index.js";
import { service } from "./support.js";

const admin = service({ apiKey: process.env.FINETUNED_TEST_ADMIN_KEY ?? "" });

test("a key has the role, models and secrets that an admin gives it", async () => {
  const { id } = (await whoami(service())).project;
  const made = await createKey(admin, id, { name: "bot", role: "inference", models: ["support"] });
  const bot = service({ apiKey: made.value });
  expect((await whoami(bot)).api_key).toMatchObject({ id: made.id, role: "inference" });
  await expect(createProject(bot, { name: "x" })).rejects.toThrow(PermissionError);

  const changed = await updateKey(admin, id, made.id, { allowed_ips: ["127.0.0.1"] });
  expect(changed).toMatchObject({ models: ["support"], allowed_ips: ["127.0.0.1/32"] });
  const rotated = await rotateKey(admin, id, made.id, { overlapSeconds: 0 });
  await expect(whoami(bot)).rejects.toThrow(AuthenticationError);
  await whoami(service({ apiKey: rotated.value }));
  const again = await rotateKey(admin, id, made.id);
  expect(again.previous_secrets).toHaveLength(1);
});

test("OpenAI's SDK makes service accounts with the options of the client", async () => {
  const { id } = (await whoami(admin)).project;
  const { projects } = new OpenAI(admin.openaiOptions()).admin.organization;
  const account = await projects.serviceAccounts.create(id, { name: "nightly" });
  const key = service({ apiKey: account.api_key?.value ?? "" });
  expect((await whoami(key)).api_key.role).toBe("member");
  await projects.serviceAccounts.delete(account.id, { project_id: id });
  await expect(whoami(key)).rejects.toThrow(AuthenticationError);
});

test("a project has a storage quota and is deleted", async () => {
  const { id } = await createProject(admin, { name: "typescript", limits: {} });
  const limited = await limitProject(admin, id, { storage_bytes: 1_000_000 });
  expect(limited.limits.storage_bytes).toBe(1_000_000);
  expect(await getProject(admin, id)).toMatchObject({ status: "active", storage_bytes_used: 0 });
  expect((await deleteProject(admin, id)).status).toBe("deleting");
});

test("rows are found by their text and erased, with a receipt", async () => {
  const { id } = await createProject(admin, { name: "erasing" });
  const { value } = await createKey(admin, id, { name: "owner", role: "project_admin" });
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
  const file = await upload(client, new File([rows.join("\n")], "chats.jsonl"));

  const openai = new OpenAI(client.openaiOptions());
  await openai.files.waitForProcessing(file.id, { pollInterval: 100 });

  const match = { type: "substring" as const, value: "Tanaka" };
  const { id: erasureId } = await createErasure(client, { match, apply: true });
  const done = await waitForErasure(client, erasureId);
  expect(done).toMatchObject({ status: "completed", files: [{ file_id: file.id, lines: [4] }] });
  const receipts = [];
  for await (const one of listErasureReceipts(client, { subjectId: file.id })) receipts.push(one);
  expect(receipts).toHaveLength(1);
  const receipt = await getErasureReceipt(client, receipts[0]?.id ?? "");
  expect(receipt).toMatchObject({ subject: "file", subject_id: file.id });
});
