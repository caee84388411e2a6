/** Queries of reports and rows, which the pages of a file share. */

import { untilEnded } from "#lib/operations.ts";
import type { DatasetReport, DatasetReportContent, MarkedRow } from "@finetuned/client";
import { client } from "#lib/api.ts";
import { summaryOf, type RowSummary } from "./row.ts";

const POLL_MS = 1000;

interface Signal {
  signal: AbortSignal;
}

/** The report on a file. Creating it again returns the same one, so the first visit starts it. */
export function reportQuery(file: string) {
  return {
    queryKey: ["dataset_reports", "of", file],
    queryFn: ({ signal }: Signal) => client.datasetReports.create({ file_id: file }, { signal }),
    staleTime: Infinity,
  } as const;
}

/** The state of a report, asked for again until it ends. */
export function reportStateQuery(id: string | undefined) {
  return {
    queryKey: ["dataset_reports", id ?? ""],
    queryFn: ({ signal }: Signal) => client.datasetReports.retrieve(id ?? "", {}, { signal }),
    enabled: id !== undefined,
    refetchInterval: untilEnded(POLL_MS),
  } as const;
}

export function reportContentQuery(report: DatasetReport | undefined) {
  return {
    queryKey: ["dataset_reports", report?.id ?? "", "content"],
    queryFn: async ({ signal }: Signal) => {
      const response = await client.datasetReports.content(report?.id ?? "", {}, { signal });
      return (await response.json()) as DatasetReportContent;
    },
    enabled: report?.status === "completed",
    staleTime: Infinity,
  } as const;
}

/** Which rows a list shows. */
export interface RowFilter {
  issue: string | null;
  language: string | null;
  maxScore: number | null;
  sort: "line" | "score";
}

export interface RowPage {
  rows: RowSummary[];
  next: string | null;
}

export async function rowPage(
  report: string,
  filter: RowFilter,
  after: string | null,
  signal: AbortSignal,
): Promise<RowPage> {
  const page = await client.datasetReports.rows.list(
    report,
    {
      ...(filter.issue === null ? {} : { issue: filter.issue }),
      ...(filter.language === null ? {} : { language: filter.language }),
      ...(filter.maxScore === null ? {} : { max_score: filter.maxScore }),
      ...(after === null ? {} : { after }),
      sort: filter.sort,
      limit: 100,
    },
    { signal },
  );
  return { rows: page.data.map(summaryOf), next: page.has_more ? page.last_id : null };
}

/** One row with its whole text; null if the file has no row at the line. */
export async function readRow(
  report: string,
  line: number,
  personalData: "mask" | "show" = "mask",
  signal: AbortSignal | null = null,
): Promise<MarkedRow | null> {
  const page = await client.datasetReports.rows.list(
    report,
    { after: String(line - 1), limit: 1, personal_data: personalData },
    { signal },
  );
  const row = page.data[0];
  return row?.line === line ? row : null;
}

export function rowQuery(report: string, line: number | null) {
  return {
    queryKey: ["dataset_reports", report, "rows", line],
    queryFn: ({ signal }: Signal) => readRow(report, line ?? 0, "mask", signal),
    enabled: line !== null,
    staleTime: Infinity,
    gcTime: 60_000,
  } as const;
}
