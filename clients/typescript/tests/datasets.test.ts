import { expect, test } from "vitest";
import {
  BadRequestError,
  clean,
  diff,
  diffRows,
  merge,
  OperationFailedError,
  preview,
  report,
  rows,
} from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

test("a report is awaited", async () => {
  const proxy = await between(() => undefined);
  const client = service({ baseURL: proxy.url });
  const file = await client.files.upload(chats(25, "report"));
  const made = await report(client, file.id, { model: BASE_MODEL });
  expect(made).toMatchObject({
    object: "file.report",
    file_id: file.id,
    status: "completed",
    rows: 25,
  });
  // It was requested before it was ready.
  expect(proxy.requests.filter((line) => line.endsWith("/report")).length).toBeGreaterThan(1);
});

test("a preview tries other options on a file that cannot be used", async () => {
  const table = "Kunde;Wir\nWann öffnen Sie?;Um neun Uhr.\n";
  const file = await service().files.upload(new File([table], "fragen.csv"));
  const unknown = await preview(service(), file.id);
  expect(unknown).toMatchObject({ object: "file.preview", error: { code: "unknown_columns" } });
  expect(unknown.rows[0]).toMatchObject({ record: { Wir: "Um neun Uhr." }, row: null });
  const columns = { prompt: "Kunde", completion: "Wir" };
  const read = await preview(service(), file.id, { format: { columns }, limit: 1 });
  expect(read).toMatchObject({ error: null, format: { columns }, found: { columns } });
  expect(read.rows[0]?.row).toBeTruthy();
});

test("rows are listed with their findings, page by page", async () => {
  const once = await chats(105, "rows").text();
  const file = await service().files.upload(new File([once, "\n", once], "twice.jsonl"));
  const seen: number[] = [];
  const query = { issue: "exact_duplicate", model: BASE_MODEL };
  for await (const row of rows(service(), file.id, query)) {
    expect(row.findings.map((finding) => finding.other_line)).toContain(row.line - 105);
    seen.push(row.line);
  }
  expect(seen).toEqual(Array.from({ length: 105 }, (_, at) => at + 106));
});

test("a cleaning creates a new file", async () => {
  const once = await chats(15, "clean").text();
  const file = await service().files.upload(new File([once, "\n", once], "twice.jsonl"));
  const cleaned = await clean(service(), file.id, {
    validation_share: 0.2,
    near_duplicates: false,
  });
  expect(cleaned).toMatchObject({ status: "completed", source_rows: 30 });
  expect((cleaned.training_rows ?? 0) + (cleaned.validation_rows ?? 0)).toBe(15);
  expect(cleaned.training_file).toMatch(/^file-/);
  expect(cleaned.training_file).not.toBe(file.id);
});

test("a file is compared with what a cleaning made of it", async () => {
  const once = await chats(15, "diff").text();
  const file = await service().files.upload(new File([once, "\n", once], "twice.jsonl"));
  const cleaned = await clean(service(), file.id);
  const later = cleaned.training_file as string;
  const found = await diff(service(), file.id, later);
  expect(found).toMatchObject({ object: "file.diff", unchanged: 15, removed: 15, added: 0 });
  const lines: (number | null)[] = [];
  for await (const row of diffRows(service(), file.id, {
    other_file: later,
    change: "removed",
  })) {
    lines.push(row.line);
  }
  expect(lines).toEqual(Array.from({ length: 15 }, (_, at) => at + 16));
});

test("files are merged into a new file", async () => {
  const files = [];
  for (const name of ["one", "other"]) files.push(await service().files.upload(chats(12, name)));
  const merged = await merge(service(), {
    files: files.map(({ id }, at) => ({ file_id: id, ...(at ? { max_rows: 2 } : {}) })),
  });
  expect(merged).toMatchObject({ status: "completed", rows: 14, conflicts: 0 });
  expect(merged.merged_file).toMatch(/^file-/);
});

test("a failed background task throws the service's code", async () => {
  const file = await service().files.upload(new File(["{}\n{}"], "broken.jsonl"));
  const failed = await clean(service(), file.id, { drop_broken: false }).catch((error) => error);
  expect(failed).toBeInstanceOf(OperationFailedError);
  expect(failed.code).toBeTruthy();
});

test("an unknown option is refused with its name", async () => {
  const file = await service().files.upload(chats(10, "options"));
  // @ts-expect-error: the types refuse it too
  const refused = await clean(service(), file.id, { unicode: "NFX" }).catch((error) => error);
  expect(refused).toBeInstanceOf(BadRequestError);
  expect(refused.param).toBe("unicode");
});

test("a recognizer is set, listed and deleted", async () => {
  const { recognizers } = service();
  const made = await recognizers.set("ts_number", { pattern: "\\bT-\\d{6}\\b", terms: [] });
  expect(await recognizers.retrieve("ts_number")).toEqual(made);
  expect((await recognizers.list()).data.map(({ id }) => id)).toContain(made.id);
  await recognizers.delete("ts_number");
  await expect(recognizers.retrieve("ts_number")).rejects.toMatchObject({ status: 404 });
});
