import { expect, test } from "vitest";
import { BadRequestError, type DatasetReportContent } from "../src/index.js";
import { BASE_MODEL, between, chats, service } from "./support.js";

/** Upload a file and return its id once its rows are checked. */
async function checked(file: File): Promise<string> {
  const { id } = await service().files.upload(file);
  await service().files.wait(id);
  return id;
}

/** A file whose rows are all there twice. */
async function twice(rows: number, mark: string): Promise<string> {
  const once = await chats(rows, mark).text();
  return checked(new File([once, "\n", once], "twice.jsonl"));
}

test("a report is created once and awaited, and its content has several formats", async () => {
  const proxy = await between((line, nth) =>
    line === "POST /v1/dataset_reports" && nth === 0 ? "swallow" : undefined,
  );
  const client = service({ baseURL: proxy.url });
  const file_id = await checked(chats(25, "report"));
  const statuses: string[] = [];
  const made = await client.datasetReports.createAndWait(
    { file_id, models: [BASE_MODEL] },
    { onProgress: ({ status }) => void statuses.push(status) },
  );
  expect(made).toMatchObject({ object: "dataset.report", file_id, status: "completed" });
  expect(made.result?.rows).toBe(25);
  expect(statuses.at(-1)).toBe("completed");
  // The service waits: the client does not ask again and again.
  const asked = proxy.requests.filter((line) => line === `GET /v1/dataset_reports/${made.id}`);
  expect(asked.length).toBeLessThanOrEqual(2);
  expect((await client.datasetReports.list({ file_id })).data).toEqual([made]);
  const json = await client.datasetReports.content(made.id, { format: "json" });
  expect(((await json.json()) as DatasetReportContent).rows).toBe(25);
  const markdown = await client.datasetReports.content(made.id, { format: "md" });
  expect(await markdown.text()).toContain("# ");
});

test("a preview tries other options on a file that cannot be used", async () => {
  const { datasetPreviews: previews } = service();
  const table = "Kunde;Wir\nWann öffnen Sie?;Um neun Uhr.\n";
  const { id: file_id } = await service().files.upload(new File([table], "fragen.csv"));
  const unknown = await previews.content((await previews.createAndWait({ file_id })).id);
  expect(unknown.error).toMatchObject({ code: "unknown_columns" });
  expect(unknown.rows[0]).toMatchObject({ record: { Wir: "Um neun Uhr." }, row: null });
  const columns = { prompt: "Kunde", completion: "Wir" };
  const read = await previews.createAndWait({ file_id, format: { columns }, limit: 1 });
  expect(read).toMatchObject({ status: "completed", format: { columns } });
  const content = await previews.content(read.id);
  expect(content).toMatchObject({ error: null, found: { columns } });
  expect(content.rows[0]?.row).toBeTruthy();
});

test("rows are listed with their findings, page by page", async () => {
  const { datasetReports: reports } = service();
  const file_id = await twice(105, "rows");
  const { id } = await reports.createAndWait({ file_id, models: [BASE_MODEL] });
  const seen: number[] = [];
  for await (const row of reports.rows.list(id, { issue: "exact_duplicate", limit: 50 })) {
    expect(row.findings.map((finding) => finding.other_line)).toContain(row.line - 105);
    seen.push(row.line);
  }
  expect(seen).toEqual(Array.from({ length: 105 }, (_, at) => at + 106));
});

test("a cleaning creates a new file, which is compared with the first", async () => {
  const { datasetCleanings: cleanings, datasetDiffs: diffs } = service();
  const file_id = await twice(15, "clean");
  const cleaned = await cleanings.createAndWait({ file_id, near_duplicates: false });
  expect(cleaned).toMatchObject({ status: "completed", result: { source_rows: 30 } });
  expect(cleaned.result?.training_rows).toBe(15);
  const other_file_id = cleaned.result?.training_file_id ?? "";
  expect(other_file_id).toMatch(/^file-/);

  await service().files.wait(other_file_id);
  const diff = await diffs.createAndWait({ file_id, other_file_id });
  expect(diff.result).toMatchObject({ unchanged: 15, removed: 15, added: 0 });
  expect(await diffs.content(diff.id)).toMatchObject({ unchanged: 15, removed: 15 });
  const lines: (number | null)[] = [];
  for await (const row of diffs.rows.list(diff.id, { change: "removed" })) lines.push(row.line);
  expect(lines).toEqual(Array.from({ length: 15 }, (_, at) => at + 16));
});

test("files are merged into a new file", async () => {
  const ids = [await checked(chats(12, "one")), await checked(chats(12, "other"))];
  const merged = await service().datasetMerges.createAndWait({
    files: ids.map((file_id, at) => ({ file_id, ...(at ? { max_rows: 2 } : {}) })),
  });
  expect(merged).toMatchObject({ status: "completed", result: { rows: 14, conflicts: 0 } });
  expect(merged.result?.merged_file_id).toMatch(/^file-/);
});

test("an operation that fails has the service's code", async () => {
  const file_id = await checked(new File(["{}\n{}"], "broken.jsonl"));
  const { datasetCleanings: cleanings } = service();
  const failed = await cleanings.createAndWait({ file_id, drop_broken: false });
  expect(failed.status).toBe("failed");
  expect(failed.error?.code).toBeTruthy();
});

test("an unknown option is refused with its name", async () => {
  // @ts-expect-error: the types refuse it too
  const asking = service().datasetCleanings.create({ file_id: "file-unknown", unicode: "NFX" });
  const refused = await asking.catch((error) => error);
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
