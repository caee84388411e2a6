/** Previews of a file with format options, and new versions of a file that is read with them. */

import type {
  DatasetPreviewContent,
  DatasetReportContent,
  FileFormat,
  FileObject,
} from "@finetuned/client";
import { client } from "#lib/api.ts";
import { completed } from "#lib/operations.ts";

const SHOWN_ROWS = 20;

/** The first rows of a file as some options read it; null: as it was uploaded. */
export function previewQuery(file: FileObject, format: FileFormat | null) {
  return {
    queryKey: ["dataset_previews", file.id, format],
    queryFn: async ({ signal }: { signal: AbortSignal }): Promise<DatasetPreviewContent> => {
      const params = {
        file_id: file.id,
        limit: SHOWN_ROWS,
        personal_data: "mask" as const,
        ...(format ? { format } : {}),
      };
      const preview = completed(await client.datasetPreviews.createAndWait(params, { signal }));
      return client.datasetPreviews.content(preview.id, { signal });
    },
    staleTime: Infinity,
  } as const;
}

/** The lines that keep a file from being used, as its report lists them. */
export function faultsQuery(file: FileObject) {
  return {
    queryKey: ["dataset_reports", "faults", file.id],
    queryFn: async ({ signal }: { signal: AbortSignal }) => {
      const report = completed(
        await client.datasetReports.createAndWait({ file_id: file.id }, { signal }),
      );
      const response = await client.datasetReports.content(report.id, {}, { signal });
      const content = (await response.json()) as DatasetReportContent;
      const issues = content.validation.issues.filter(({ severity }) => severity === "error");
      const lines = new Set(issues.map(({ line }) => line));
      return { issues, lines: lines.size, total: report.result?.invalid_rows ?? lines.size };
    },
    staleTime: Infinity,
  } as const;
}

/**
 * Make a new version of a file: read with other options (null: as uploaded), or without the rows that cannot
 * be read. A file itself never changes. Returns the ID of the new file.
 */
export async function newVersion(
  fileId: string,
  format: FileFormat | null,
  dropsBroken: boolean,
): Promise<string> {
  const cleaning = await client.datasetCleanings.createAndWait({
    file_id: fileId,
    ...(format ? { format } : {}),
    drop_broken: dropsBroken,
    exact_duplicates: false,
  });
  return completed(cleaning).result?.training_file_id ?? fileId;
}
