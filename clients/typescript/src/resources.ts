/** Resources of the API. Generated from openapi.json by `npm run generate`. */

import { APIClient, APIResource, path, type RequestOptions } from "./core.js";
import type { APIPromise, PageParams, PagePromise } from "./promise.js";
import { type WatchOptions, watchEvents } from "./streams.js";
import type * as T from "./types.js";
import { pollOf, type WaitOptions, waitFor } from "./wait.js";

export interface FilesReviewsListParams extends PageParams {
  /** Label to filter by. */
  label?: T.ReviewLabel;
}

export class FilesReviews extends APIResource {
  /** List the reviews of a file in the order of its lines, with the number of reviews by label. */
  list(fileId: string, params?: FilesReviewsListParams, options?: RequestOptions): PagePromise<T.RowReview> {
    return this.client.getPage(path`/files/${fileId}/reviews`, { query: params, ...options });
  }

  /** Get the review of a row. */
  retrieve(line: number, params: { file_id: string }, options?: RequestOptions): APIPromise<T.RowReview> {
    const { file_id } = params;
    return this.client.get(path`/files/${file_id}/reviews/${line}`, options);
  }

  /** Write the review of a row, or replace it. If several people review a row, the last review counts. */
  set(line: number, params: { file_id: string } & T.PutRowReview, options?: RequestOptions): APIPromise<T.RowReview> {
    const { file_id, ...rest } = params;
    return this.client.put(path`/files/${file_id}/reviews/${line}`, { body: rest, ...options });
  }

  /** Delete the review of a row with its text. */
  delete(line: number, params: { file_id: string }, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    const { file_id } = params;
    return this.client.delete(path`/files/${file_id}/reviews/${line}`, options);
  }
}

export interface FilesCreateParams {
  file: Blob;
  /**
   * Purpose of the file. `fine-tune` and `evals` files are checked, `batch` files when a batch is created.
   * `model-import`, an extension, is for archives of adapters.
   */
  purpose: "fine-tune" | "evals" | "batch" | "user_data" | "model-import";
  /** Event from which the lifetime is counted. */
  "expires_after[anchor]"?: "created_at";
  /** Lifetime of the file in seconds. If omitted, the file never expires. */
  "expires_after[seconds]"?: number;
  /** `FileFormat` as a JSON object, or as flattened fields such as `format[columns][prompt]=Frage`. */
  format?: string;
}

export interface FilesListParams extends PageParams {
  /** Purpose to filter by. */
  purpose?: T.FilePurpose;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Values of `status` to filter by. */
  status?: T.FileStatus[];
}

export interface FilesDeleteParams {
  /**
   * Whether to delete everything that was trained on the file too: models, checkpoints, exports and evaluations.
   * Needs the permission `model.write`. Default: `false`.
   */
  cascade?: boolean;
}

export class Files extends APIResource {
  readonly reviews = new FilesReviews(this.client);

  /**
   * Upload a file as a multipart form, as the SDKs do, or as raw bytes with the fields in the query string. The
   * file streams to storage in one pass.
   */
  create(params: FilesCreateParams, options?: RequestOptions): APIPromise<T.FileObject> {
    return this.client.post("/files", { form: params, ...options });
  }

  /** List the project's files, newest first by default. Expired files are omitted. */
  list(params?: FilesListParams, options?: RequestOptions): PagePromise<T.FileObject> {
    return this.client.getPage("/files", { query: params, ...options });
  }

  /**
   * Retrieve a file's metadata and the result of its check: `status`, plus the number of rows and warnings, or
   * the line and the error in `status_details`.
   */
  retrieve(fileId: string, options?: RequestOptions): APIPromise<T.FileObject> {
    return this.client.get(path`/files/${fileId}`, options);
  }

  /**
   * Delete a file's record, content and reports immediately. `models` lists the models that were trained on the
   * file, and `derived_files` the files that were made from it. Both are kept.
   */
  delete(fileId: string, params?: FilesDeleteParams, options?: RequestOptions): APIPromise<T.FileDeleted> {
    return this.client.delete(path`/files/${fileId}`, { query: params, ...options });
  }

  /** Download the exact bytes that were uploaded, or that a job or a cleaning wrote. */
  content(fileId: string, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/files/${fileId}/content`, options);
  }
}

export interface UploadsPartsCreateParams {
  data: Blob;
}

export class UploadsParts extends APIResource {
  /** Add a part as the field `data` of a multipart form, as the SDKs do, or as raw bytes. */
  create(uploadId: string, params: UploadsPartsCreateParams, options?: RequestOptions): APIPromise<T.UploadPart> {
    return this.client.post(path`/uploads/${uploadId}/parts`, { form: params, ...options });
  }

  /**
   * List the received parts, oldest first, with the size and MD5 of each, so that an interrupted client can send
   * the missing parts.
   */
  list(uploadId: string, options?: RequestOptions): PagePromise<T.UploadPart> {
    return this.client.getPage(path`/uploads/${uploadId}/parts`, options);
  }
}

export class Uploads extends APIResource {
  readonly parts = new UploadsParts(this.client);

  /**
   * Create an upload for a file that exceeds the limit of `/v1/files`, or for an unreliable connection. A file
   * may have up to 8 GiB, in parts of up to 64 MiB. The upload expires after one hour unless it is completed.
   */
  create(params: T.CreateUpload, options?: RequestOptions): APIPromise<T.Upload> {
    return this.client.post("/uploads", { body: params, ...options });
  }

  /** Retrieve an upload's status (`pending`, `completed`, `cancelled` or `expired`) and the resulting file. */
  retrieve(uploadId: string, options?: RequestOptions): APIPromise<T.Upload> {
    return this.client.get(path`/uploads/${uploadId}`, options);
  }

  /**
   * Join the parts into a file, in the order of `part_ids`. Their total size must match the declared size, and
   * the result must match `md5` if given. A `fine-tune` file is then checked, as after a single-request upload.
   * Repeating the request with the same parts returns the same result.
   */
  complete(uploadId: string, params: T.CompleteUpload, options?: RequestOptions): APIPromise<T.Upload> {
    return this.client.post(path`/uploads/${uploadId}/complete`, { body: params, ...options });
  }

  /**
   * Cancel an upload and delete its parts. It then accepts no more parts. A completed upload cannot be canceled;
   * delete its file instead.
   */
  cancel(uploadId: string, options?: RequestOptions): APIPromise<T.Upload> {
    return this.client.post(path`/uploads/${uploadId}/cancel`, options);
  }
}

export interface DatasetReportsRowsListParams extends PageParams {
  /** Whether to replace personal data in the rows by labels such as `[EMAIL]`, or to show it. Default: `mask`. */
  personal_data?: "mask" | "show";
  /** Code of a finding that the rows have. */
  issue?: string;
  /** Language of the rows, by its code. */
  language?: string;
  /** Highest score of the rows. */
  max_score?: number;
  /** Order of the rows: `line` for that of the file, `score` for the lowest scores first. Default: `line`. */
  sort?: "line" | "score";
}

export class DatasetReportsRows extends APIResource {
  /**
   * List rows, each with its content, its quality score, and what the report found in it. A page has at most 4
   * MiB of rows, so it may have fewer rows than `limit`.
   */
  list(id: string, params?: DatasetReportsRowsListParams, options?: RequestOptions): PagePromise<T.MarkedRow> {
    return this.client.getPage(path`/dataset_reports/${id}/rows`, { query: params, ...options });
  }
}

export interface DatasetReportsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the file. */
  file_id?: string;
}

export interface DatasetReportsContentParams {
  /** Format of the report: JSON, HTML or Markdown. Default: `json`. */
  format?: "json" | "html" | "md";
}

export interface DatasetReportsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetReports extends APIResource {
  readonly rows = new DatasetReportsRows(this.client);

  /**
   * Create a report with statistics, findings and recommendations: lengths and tokens, languages, duplicates,
   * contradictions, personal data, and whether the data is suitable for training.
   */
  create(params: T.CreateDatasetReport, options?: RequestOptions): APIPromise<T.DatasetReport> {
    return this.client.post("/dataset_reports", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetReport, options?: WaitOptions<T.DatasetReport> & RequestOptions): Promise<T.DatasetReport> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's reports, newest first by default. */
  list(params?: DatasetReportsListParams, options?: RequestOptions): PagePromise<T.DatasetReport> {
    return this.client.getPage("/dataset_reports", { query: params, ...options });
  }

  /**
   * Get a report as JSON, as an HTML page without external resources, or as Markdown. Returns 409 if the report
   * is not completed.
   */
  content(id: string, params?: DatasetReportsContentParams, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/dataset_reports/${id}/content`, { query: params, ...options });
  }

  /**
   * Get a report: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: DatasetReportsRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetReport> {
    return this.client.get(path`/dataset_reports/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetReport>): Promise<T.DatasetReport> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a report and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_reports/${id}`, options);
  }

  /**
   * Cancel a report. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetReport> {
    return this.client.post(path`/dataset_reports/${id}/cancel`, options);
  }
}

export interface DatasetPreviewsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the file. */
  file_id?: string;
}

export interface DatasetPreviewsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetPreviews extends APIResource {
  /** Read the first rows of a training file with other format options, without uploading it again. */
  create(params: T.CreateDatasetPreview, options?: RequestOptions): APIPromise<T.DatasetPreview> {
    return this.client.post("/dataset_previews", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetPreview, options?: WaitOptions<T.DatasetPreview> & RequestOptions): Promise<T.DatasetPreview> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's previews, newest first by default. */
  list(params?: DatasetPreviewsListParams, options?: RequestOptions): PagePromise<T.DatasetPreview> {
    return this.client.getPage("/dataset_previews", { query: params, ...options });
  }

  /** Get the rows, the findings and the other format options. Returns 409 if the preview is not completed. */
  content(id: string, options?: RequestOptions): APIPromise<T.DatasetPreviewContent> {
    return this.client.get(path`/dataset_previews/${id}/content`, options);
  }

  /**
   * Get a preview: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: DatasetPreviewsRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetPreview> {
    return this.client.get(path`/dataset_previews/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetPreview>): Promise<T.DatasetPreview> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a preview and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_previews/${id}`, options);
  }

  /**
   * Cancel a preview. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetPreview> {
    return this.client.post(path`/dataset_previews/${id}/cancel`, options);
  }
}

export interface DatasetCleaningsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the file. */
  file_id?: string;
}

export interface DatasetCleaningsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetCleanings extends APIResource {
  /** Clean a file in the background. The results are new files; the source file is not modified. */
  create(params: T.CreateDatasetCleaning, options?: RequestOptions): APIPromise<T.DatasetCleaning> {
    return this.client.post("/dataset_cleanings", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetCleaning, options?: WaitOptions<T.DatasetCleaning> & RequestOptions): Promise<T.DatasetCleaning> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's cleanings, newest first by default. */
  list(params?: DatasetCleaningsListParams, options?: RequestOptions): PagePromise<T.DatasetCleaning> {
    return this.client.getPage("/dataset_cleanings", { query: params, ...options });
  }

  /**
   * Get a cleaning: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: DatasetCleaningsRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetCleaning> {
    return this.client.get(path`/dataset_cleanings/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetCleaning>): Promise<T.DatasetCleaning> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a cleaning. If it is in progress, it stops. The files that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_cleanings/${id}`, options);
  }

  /**
   * Cancel a cleaning. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetCleaning> {
    return this.client.post(path`/dataset_cleanings/${id}/cancel`, options);
  }
}

export interface DatasetDiffsRowsListParams extends PageParams {
  /** Kind of difference; all if omitted. */
  change?: "changed" | "removed" | "added";
  /** Whether to show personal data in the rows, or to replace it by labels such as `[EMAIL]`. Default: `show`. */
  personal_data?: "mask" | "show";
}

export class DatasetDiffsRows extends APIResource {
  /**
   * List the rows that differ between a training file and a later one, each with its lines and both versions:
   * first the changed rows, then the removed ones, then the added ones. A page has at most 4 MiB of rows, so it
   * may have fewer rows than `limit`. Returns 409 if the diff is not completed.
   */
  list(id: string, params?: DatasetDiffsRowsListParams, options?: RequestOptions): PagePromise<T.FileDiffRow> {
    return this.client.getPage(path`/dataset_diffs/${id}/rows`, { query: params, ...options });
  }
}

export interface DatasetDiffsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the earlier file. */
  file_id?: string;
  /** ID of the later file. */
  other_file_id?: string;
}

export interface DatasetDiffsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetDiffs extends APIResource {
  readonly rows = new DatasetDiffsRows(this.client);

  /**
   * Compare a training file with a later one, such as the output of a cleaning: how many rows are unchanged,
   * changed, removed and added, and what shifts in languages, lengths, turns, system prompts, tools, classes and
   * personal data.
   */
  create(params: T.CreateDatasetDiff, options?: RequestOptions): APIPromise<T.DatasetDiff> {
    return this.client.post("/dataset_diffs", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetDiff, options?: WaitOptions<T.DatasetDiff> & RequestOptions): Promise<T.DatasetDiff> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's diffs, newest first by default. */
  list(params?: DatasetDiffsListParams, options?: RequestOptions): PagePromise<T.DatasetDiff> {
    return this.client.getPage("/dataset_diffs", { query: params, ...options });
  }

  /**
   * Get the comparison, with statistics of both files and what shifts between them. Returns 409 if it is not
   * completed.
   */
  content(id: string, options?: RequestOptions): APIPromise<T.DatasetDiffContent> {
    return this.client.get(path`/dataset_diffs/${id}/content`, options);
  }

  /**
   * Get a diff: its status, its progress, and its result once it is completed. With `wait`, the response is sent
   * when it ends.
   */
  retrieve(id: string, params?: DatasetDiffsRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetDiff> {
    return this.client.get(path`/dataset_diffs/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetDiff>): Promise<T.DatasetDiff> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a diff and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_diffs/${id}`, options);
  }

  /**
   * Cancel a diff. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetDiff> {
    return this.client.post(path`/dataset_diffs/${id}/cancel`, options);
  }
}

export interface DatasetMergesListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of one of the merged files. */
  file_id?: string;
}

export interface DatasetMergesRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetMerges extends APIResource {
  /** Merge 2 to 20 training files into a new file in the background. The files are not modified. */
  create(params: T.CreateDatasetMerge, options?: RequestOptions): APIPromise<T.DatasetMerge> {
    return this.client.post("/dataset_merges", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetMerge, options?: WaitOptions<T.DatasetMerge> & RequestOptions): Promise<T.DatasetMerge> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's merges, newest first by default. */
  list(params?: DatasetMergesListParams, options?: RequestOptions): PagePromise<T.DatasetMerge> {
    return this.client.getPage("/dataset_merges", { query: params, ...options });
  }

  /**
   * Get a merge: its status, its progress, and its result once it is completed. With `wait`, the response is sent
   * when it ends.
   */
  retrieve(id: string, params?: DatasetMergesRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetMerge> {
    return this.client.get(path`/dataset_merges/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetMerge>): Promise<T.DatasetMerge> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a merge. If it is in progress, it stops. The files that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_merges/${id}`, options);
  }

  /**
   * Cancel a merge. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetMerge> {
    return this.client.post(path`/dataset_merges/${id}/cancel`, options);
  }
}

export interface RecognizersListParams extends PageParams {
}

export class Recognizers extends APIResource {
  /** List the project's recognizers, newest first. */
  list(params?: RecognizersListParams, options?: RequestOptions): PagePromise<T.Recognizer> {
    return this.client.getPage("/recognizers", { query: params, ...options });
  }

  /** Retrieve a recognizer with its pattern and terms. */
  retrieve(recognizer: string, options?: RequestOptions): APIPromise<T.Recognizer> {
    return this.client.get(path`/recognizers/${recognizer}`, options);
  }

  /**
   * Define a kind of personal data of the project, such as its customer numbers or the names of its customers, or
   * replace its definition.
   */
  set(recognizer: string, params: T.PutRecognizer, options?: RequestOptions): APIPromise<T.Recognizer> {
    return this.client.put(path`/recognizers/${recognizer}`, { body: params, ...options });
  }

  /** Delete a recognizer. Files that were cleaned with it remain as they are. */
  delete(recognizer: string, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete(path`/recognizers/${recognizer}`, options);
  }
}

export interface ModelImportsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the file. */
  file_id?: string;
}

export interface ModelImportsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class ModelImports extends APIResource {
  /** Import a LoRA adapter that was trained elsewhere, in the background. */
  create(params: T.CreateModelImport, options?: RequestOptions): APIPromise<T.ModelImport> {
    return this.client.post("/model_imports", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateModelImport, options?: WaitOptions<T.ModelImport> & RequestOptions): Promise<T.ModelImport> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's imports, newest first by default. */
  list(params?: ModelImportsListParams, options?: RequestOptions): PagePromise<T.ModelImport> {
    return this.client.getPage("/model_imports", { query: params, ...options });
  }

  /**
   * Get an import: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: ModelImportsRetrieveParams, options?: RequestOptions): APIPromise<T.ModelImport> {
    return this.client.get(path`/model_imports/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.ModelImport>): Promise<T.ModelImport> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete an import. If it is in progress, it stops. The models that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/model_imports/${id}`, options);
  }

  /**
   * Cancel an import. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.ModelImport> {
    return this.client.post(path`/model_imports/${id}/cancel`, options);
  }
}

export interface FineTuningJobsCheckpointsListParams extends PageParams {
}

export class FineTuningJobsCheckpoints extends APIResource {
  /**
   * List the checkpoints of a job, newest first, with their metrics. To use a checkpoint in inference requests,
   * pass its `fine_tuned_model_checkpoint` as the model name.
   */
  list(jobId: string, params?: FineTuningJobsCheckpointsListParams, options?: RequestOptions): PagePromise<T.FineTuningJobCheckpoint> {
    return this.client.getPage(path`/fine_tuning/jobs/${jobId}/checkpoints`, { query: params, ...options });
  }
}

export interface FineTuningJobsEvaluationLabelsListParams extends PageParams {
  /** Row to filter by. */
  row?: number;
  /** Whether to list only the caller's labels. Default: `false`. */
  mine?: boolean;
  /**
   * Whether to list only labels of rows on which reviewers differ, those with opposite preferences first.
   * Default: `false`.
   */
  disputed?: boolean;
}

export interface FineTuningJobsEvaluationLabelsQueueParams {
  /** Pair of columns to compare. By default, the tuned model and the best prompt, or else the base model. */
  compared?: string[];
  /** Number of labels that each row should have. Rows with that many are not in the queue. Default: `2`. */
  overlap?: number;
  /** `line` of the only row to return, also if it is labeled. */
  row?: number;
  /** Maximum number of objects per page. Default: `20`. */
  limit?: number;
  /**
   * Whether to show personal data in texts, or to replace it by labels such as `[EMAIL]`. The audit log notes who
   * asked for it to be shown. Default: `show`.
   */
  personal_data?: "mask" | "show";
}

export interface FineTuningJobsEvaluationLabelsDeleteParams {
  /** Pair of columns whose label is deleted. By default, all labels that the caller gave to the row. */
  compared?: string[];
  /** `reviewer` of the labels, if they are another person's. Only administrators of the project may delete those. */
  reviewer?: string;
}

export class FineTuningJobsEvaluationLabels extends APIResource {
  /**
   * List what people said about the answers of an evaluation in the order of rows, and what it says together: how
   * often they prefer each model, how well they agree with each other, and whether the measure that decided
   * agrees with them.
   */
  list(jobId: string, params?: FineTuningJobsEvaluationLabelsListParams, options?: RequestOptions): PagePromise<T.EvaluationLabel> {
    return this.client.getPage(path`/fine_tuning/jobs/${jobId}/evaluation/labels`, { query: params, ...options });
  }

  /**
   * Retrieve the next rows that the caller has not labeled, with two answers each, and the progress of all
   * reviewers. Which model gave which answer is not said until it is labeled.
   */
  queue(jobId: string, params?: FineTuningJobsEvaluationLabelsQueueParams, options?: RequestOptions): APIPromise<T.EvaluationLabelQueue> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}/evaluation/labels/queue`, { query: params, ...options });
  }

  /**
   * Say which of two answers to a row is better, or change one's own label. Each reviewer has one label per row
   * and pair of columns. The response names the column of the better answer, also if the queue showed the answers
   * without their columns.
   */
  set(row: number, params: { job_id: string } & T.PutEvaluationLabel, options?: RequestOptions): APIPromise<T.EvaluationLabel> {
    const { job_id, ...rest } = params;
    return this.client.put(path`/fine_tuning/jobs/${job_id}/evaluation/labels/${row}`, { body: rest, ...options });
  }

  /** Delete a reviewer's labels of a row with their notes: the caller's by default. Those of others stay. */
  delete(row: number, params: { job_id: string } & FineTuningJobsEvaluationLabelsDeleteParams, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    const { job_id, ...rest } = params;
    return this.client.delete(path`/fine_tuning/jobs/${job_id}/evaluation/labels/${row}`, { query: rest, ...options });
  }
}

export interface FineTuningJobsEvaluationReportParams {
  /** Format of the report: JSON, HTML or Markdown. Default: `json`. */
  format?: "json" | "html" | "md";
  /**
   * Whether to show personal data in texts, or to replace it by labels such as `[EMAIL]`. The audit log notes who
   * asked for it to be shown. Default: `show`.
   */
  personal_data?: "mask" | "show";
  /** `line` of the only row that a JSON report has. */
  line?: number;
}

export class FineTuningJobsEvaluation extends APIResource {
  readonly labels = new FineTuningJobsEvaluationLabels(this.client);

  /** Retrieve the state and the verdict of a job's evaluation. */
  retrieve(jobId: string, options?: RequestOptions): APIPromise<T.FineTuningJobEvaluation> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}/evaluation`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(jobId: string, options?: WaitOptions<T.FineTuningJobEvaluation>): Promise<T.FineTuningJobEvaluation> {
    return waitFor((request) => this.retrieve(jobId, request), options);
  }

  /**
   * Run a completed, skipped or failed evaluation again, for example after the engine was started, or to compare
   * the model with another prompt. Returns 409 if it is in progress.
   */
  restart(jobId: string, params?: T.RestartFineTuningJobEvaluation, options?: RequestOptions): APIPromise<T.FineTuningJobEvaluation> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/evaluation`, { body: params, ...options });
  }

  /**
   * Retrieve everything that an evaluation measured: each row with all answers and scores as JSON, or the report
   * as Markdown or as one HTML page without external resources.
   */
  report(jobId: string, params?: FineTuningJobsEvaluationReportParams, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/fine_tuning/jobs/${jobId}/evaluation/report`, { query: params, ...options });
  }
}

export interface FineTuningJobsListParams extends PageParams {
  /** ID of a file that the jobs read. */
  file?: string;
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Values of `status` to filter by. */
  status?: T.FineTuningJobStatus[];
  /** Metadata pairs that a job must all have, such as `metadata[team]=support`. */
  metadata?: Record<string, string>;
}

export interface FineTuningJobsListEventsParams extends PageParams {
}

export interface FineTuningJobsMetricsParams {
  /** Maximum number of buckets of each metric. Default: `500`. */
  buckets?: number;
  /** First step of the range. By default, the first. */
  from_step?: number;
  /** Last step of the range. By default, the last. */
  to_step?: number;
  /** Names of the metrics to return, such as `train_loss`. By default, all. */
  metrics?: string[];
}

export class FineTuningJobs extends APIResource {
  readonly checkpoints = new FineTuningJobsCheckpoints(this.client);
  readonly evaluation = new FineTuningJobsEvaluation(this.client);

  /** Create a fine-tuning job. The service validates its files, then queues it for a GPU worker. */
  create(params: T.CreateFineTuningJob, options?: RequestOptions): APIPromise<T.FineTuningJob> {
    return this.client.post("/fine_tuning/jobs", { body: params, repeatable: true, ...options });
  }

  /**
   * List the project's jobs, newest first. Filter by metadata with `metadata[key]=value`, or use `metadata=null`
   * for jobs without metadata.
   */
  list(params?: FineTuningJobsListParams, options?: RequestOptions): PagePromise<T.FineTuningJob> {
    return this.client.getPage("/fine_tuning/jobs", { query: params, ...options });
  }

  /**
   * Retrieve the current state of a job: its status, hyperparameters, queue position, and the fine-tuned model or
   * the error.
   */
  retrieve(jobId: string, options?: RequestOptions): APIPromise<T.FineTuningJob> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(jobId: string, options?: WaitOptions<T.FineTuningJob>): Promise<T.FineTuningJob> {
    return waitFor((request) => this.retrieve(jobId, request), options);
  }

  /**
   * Cancel a job permanently. A running trainer stops within seconds. Existing checkpoints are kept. Returns 409
   * if the job has already ended.
   */
  cancel(jobId: string, options?: RequestOptions): APIPromise<T.FineTuningJob> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/cancel`, options);
  }

  /** Pause a queued or running job and keep its progress in a checkpoint. `resume` continues from that checkpoint. */
  pause(jobId: string, options?: RequestOptions): APIPromise<T.FineTuningJob> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/pause`, options);
  }

  /**
   * Resume a paused job: it is queued again and continues from its latest checkpoint. A job that is still pausing
   * also continues, without losing a step. Returns 409 if the job is neither paused nor pausing.
   */
  resume(jobId: string, options?: RequestOptions): APIPromise<T.FineTuningJob> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/resume`, options);
  }

  /** List the events of a job, newest first: messages and metrics of training steps. */
  listEvents(jobId: string, params?: FineTuningJobsListEventsParams, options?: RequestOptions): PagePromise<T.FineTuningJobEvent> {
    return this.client.getPage(path`/fine_tuning/jobs/${jobId}/events`, { query: params, ...options });
  }

  /** Yield its events as they happen, until the last one, across broken connections. */
  watch(jobId: string, options?: WatchOptions): AsyncGenerator<T.FineTuningJobEvent, void, undefined> {
    return watchEvents(this.client, path`/fine_tuning/jobs/${jobId}/events`, options);
  }

  /**
   * Retrieve the metrics of a job by step, for a chart of a training of any length: the lowest, highest, mean and
   * last value of each metric in each bucket, so that no spike is lost. Set `from_step` and `to_step` to look
   * closer.
   */
  metrics(jobId: string, params?: FineTuningJobsMetricsParams, options?: RequestOptions): APIPromise<T.JobMetrics> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}/metrics`, { query: params, ...options });
  }
}

export class FineTuningAlphaGraders extends APIResource {
  /** Grade one answer. A failure to grade it is an error in the response's metadata. */
  run(params: T.RunGrader, options?: RequestOptions): APIPromise<T.GraderRun> {
    return this.client.post("/fine_tuning/alpha/graders/run", { body: params, ...options });
  }

  /** Check a grader's templates, formula, source, labels, schema and models. */
  validate(params: T.ValidateGrader, options?: RequestOptions): APIPromise<T.ValidatedGrader> {
    return this.client.post("/fine_tuning/alpha/graders/validate", { body: params, ...options });
  }
}

export class FineTuningAlpha extends APIResource {
  readonly graders = new FineTuningAlphaGraders(this.client);
}

export interface FineTuningCheckpointsPermissionsListParams extends PageParams {
  /** Project to filter by. */
  project_id?: string;
  /** Sort order by creation time. `desc` returns the newest first. Default: `descending`. */
  order?: "ascending" | "descending";
}

export class FineTuningCheckpointsPermissions extends APIResource {
  /**
   * Let other projects send requests to a trained model or a checkpoint, also through aliases of their own. They
   * cannot export, delete or train on it, and their requests count as their own usage. An existing permission is
   * kept. If the project has `four_eyes`, a second person must have approved the model.
   */
  create(model: string, params: T.CreateCheckpointPermissions, options?: RequestOptions): APIPromise<{ data: T.CheckpointPermission[] }> {
    return this.client.post(path`/fine_tuning/checkpoints/${model}/permissions`, { body: params, ...options });
  }

  /**
   * List the permissions of other projects to use a trained model. Keys with the roles `admin` and `auditor` list
   * those of the models of all projects.
   */
  list(model: string, params?: FineTuningCheckpointsPermissionsListParams, options?: RequestOptions): PagePromise<T.CheckpointPermission> {
    return this.client.getPage(path`/fine_tuning/checkpoints/${model}/permissions`, { query: params, ...options });
  }

  /**
   * Revoke the permission of a project to use a trained model. Its requests get 404 within seconds. Keys with the
   * role `admin` revoke permissions to use the models of all projects.
   */
  delete(permissionId: string, params: { model: string }, options?: RequestOptions): APIPromise<T.CheckpointPermissionDeleted> {
    const { model } = params;
    return this.client.delete(path`/fine_tuning/checkpoints/${model}/permissions/${permissionId}`, options);
  }
}

export class FineTuningCheckpoints extends APIResource {
  readonly permissions = new FineTuningCheckpointsPermissions(this.client);
}

export class FineTuning extends APIResource {
  readonly jobs = new FineTuningJobs(this.client);
  readonly alpha = new FineTuningAlpha(this.client);
  readonly checkpoints = new FineTuningCheckpoints(this.client);

  /** Estimate a job from the request body for creating one, without creating it. */
  estimate(params: T.CreateFineTuningJob, options?: RequestOptions): APIPromise<T.FineTuningEstimate> {
    return this.client.post("/fine_tuning/estimate", { body: params, ...options });
  }
}

export interface AdviceListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the training file. */
  training_file_id?: string;
  /** ID of the base model. */
  model?: string;
}

export interface AdviceRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class Advice extends APIResource {
  /**
   * Ask whether a training is worth it. A worker then asks the base model the questions of some rows of the file,
   * with and without the best prompt, searches the other rows for their answers, and reads the file's report.
   * This takes about a minute on a CPU.
   */
  create(params: T.CreateAdvice, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.post("/advice", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateAdvice, options?: WaitOptions<T.TrainingAdvice> & RequestOptions): Promise<T.TrainingAdvice> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's advice, newest first by default. */
  list(params?: AdviceListParams, options?: RequestOptions): PagePromise<T.TrainingAdvice> {
    return this.client.getPage("/advice", { query: params, ...options });
  }

  /**
   * Get advice: its status, its progress, and its result once it is completed. With `wait`, the response is sent
   * when it ends.
   */
  retrieve(id: string, params?: AdviceRetrieveParams, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.get(path`/advice/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.TrainingAdvice>): Promise<T.TrainingAdvice> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete advice and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/advice/${id}`, options);
  }

  /**
   * Cancel advice. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.post(path`/advice/${id}/cancel`, options);
  }
}

export interface SweepsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** ID of the base model. */
  model?: string;
  /** ID of the training file. */
  training_file?: string;
}

export interface SweepsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class Sweeps extends APIResource {
  /**
   * Create a sweep: one fine-tuning job, called a trial, for each combination of the values. The trials are
   * compared by their loss on held-out rows, so a sweep needs a `validation_file` or a `validation_share`.
   */
  create(params: T.CreateSweep, options?: RequestOptions): APIPromise<T.Sweep> {
    return this.client.post("/sweeps", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateSweep, options?: WaitOptions<T.Sweep> & RequestOptions): Promise<T.Sweep> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's sweeps, newest first by default. */
  list(params?: SweepsListParams, options?: RequestOptions): PagePromise<T.Sweep> {
    return this.client.getPage("/sweeps", { query: params, ...options });
  }

  /**
   * Get a sweep: its status, its progress, and its result once it is completed. With `wait`, the response is sent
   * when it ends.
   */
  retrieve(id: string, params?: SweepsRetrieveParams, options?: RequestOptions): APIPromise<T.Sweep> {
    return this.client.get(path`/sweeps/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.Sweep>): Promise<T.Sweep> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a sweep. Returns 409 if it has not ended: cancel it first. The jobs that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/sweeps/${id}`, options);
  }

  /**
   * Cancel a sweep. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.Sweep> {
    return this.client.post(path`/sweeps/${id}/cancel`, options);
  }
}

export class ModelsApprovals extends APIResource {
  /**
   * Approve a trained model of the key's project. Projects with `four_eyes` require it before an alias points at
   * the model or an export of it is created or downloaded.
   */
  create(model: string, params?: T.CreateApproval, options?: RequestOptions): APIPromise<T.Approval> {
    return this.client.post(path`/models/${model}/approvals`, { body: params, ...options });
  }

  /** List the approvals of a trained model of the key's project, oldest first. */
  list(model: string, options?: RequestOptions): PagePromise<T.Approval> {
    return this.client.getPage(path`/models/${model}/approvals`, options);
  }

  /** Revoke an approval of a trained model. Aliases that point at the model keep doing so. */
  delete(approvalId: string, params: { model: string }, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    const { model } = params;
    return this.client.delete(path`/models/${model}/approvals/${approvalId}`, options);
  }
}

export interface ModelsEvidenceParams {
  /**
   * Whether to include training rows, prompts, graders, and answers of the evaluation. Needs a role that may read
   * training data. Default: `false`.
   */
  include_text?: boolean;
}

export interface ModelsListParams extends PageParams {
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Values of `kind` to filter by. */
  kind?: T.ListedKind[];
}

export class Models extends APIResource {
  readonly approvals = new ModelsApprovals(this.client);

  /**
   * Download a signed archive of what is known about a trained model of the project: data, training, evaluation,
   * access, exports, erasures, and the entries of the audit log with proofs.
   */
  evidence(model: string, params?: ModelsEvidenceParams, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/models/${model}/evidence`, { query: params, ...options });
  }

  /**
   * List the catalog's base models, the project's aliases, its trained models, and those that other projects
   * share with it, newest first.
   */
  list(params?: ModelsListParams, options?: RequestOptions): PagePromise<T.Model> {
    return this.client.getPage("/models", { query: params, ...options });
  }

  /**
   * Retrieve a base model, a trained model of this project or one that another project shares with it, or an
   * alias (`alias_of` lists its targets).
   */
  retrieve(model: string, options?: RequestOptions): APIPromise<T.Model> {
    return this.client.get(path`/models/${model}`, options);
  }

  /**
   * Delete a trained model with its exports and evaluation immediately. Its name is never reused, and engines
   * remove their copies within seconds. `receipt` is the ID of a signed receipt.
   */
  delete(model: string, options?: RequestOptions): APIPromise<T.ModelDeleted> {
    return this.client.delete(path`/models/${model}`, options);
  }
}

export interface ModelExportsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Name of the trained model. */
  model?: string;
  /** Format of the export. */
  format?: string;
}

export interface ModelExportsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class ModelExports extends APIResource {
  /**
   * Export a trained model for other software. A worker writes the artifact, loads it, compares its answers to
   * held-out rows with the serving engine's, and stores it as one archive.
   */
  create(params: T.CreateModelExport, options?: RequestOptions): APIPromise<T.ModelExport> {
    return this.client.post("/model_exports", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateModelExport, options?: WaitOptions<T.ModelExport> & RequestOptions): Promise<T.ModelExport> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's exports, newest first by default. */
  list(params?: ModelExportsListParams, options?: RequestOptions): PagePromise<T.ModelExport> {
    return this.client.getPage("/model_exports", { query: params, ...options });
  }

  /**
   * Get an export: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: ModelExportsRetrieveParams, options?: RequestOptions): APIPromise<T.ModelExport> {
    return this.client.get(path`/model_exports/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.ModelExport>): Promise<T.ModelExport> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete an export and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/model_exports/${id}`, options);
  }

  /**
   * Cancel an export. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.ModelExport> {
    return this.client.post(path`/model_exports/${id}/cancel`, options);
  }

  /**
   * Download an export as one uncompressed tar archive. The `etag` is its SHA-256 in hexadecimal digits, and
   * `repr-digest` the same in base64. Returns 409 if the export is not completed, or if the project requires an
   * approval that the model does not have.
   */
  content(id: string, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/model_exports/${id}/content`, options);
  }
}

export interface ErasureReceiptsListParams extends PageParams {
  /** Deleted object whose receipts to return: a file, for example. */
  subject_id?: string;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
}

export class ErasureReceipts extends APIResource {
  /**
   * List the receipts of what the project deleted and of what expired, newest first by default: files, models and
   * checkpoints, exports, evals and their runs.
   */
  list(params?: ErasureReceiptsListParams, options?: RequestOptions): PagePromise<T.ErasureReceipt> {
    return this.client.getPage("/erasure_receipts", { query: params, ...options });
  }

  /**
   * Retrieve the receipt of a deletion: the objects that were removed from storage with their digests, when, and
   * the key that asked for it, if it did not expire.
   */
  retrieve(receiptId: string, options?: RequestOptions): APIPromise<T.ErasureReceipt> {
    return this.client.get(path`/erasure_receipts/${receiptId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(receiptId: string, options?: WaitOptions<T.ErasureReceipt>): Promise<T.ErasureReceipt> {
    return waitFor((request) => this.retrieve(receiptId, request), options);
  }
}

export class AliasesHistory extends APIResource {
  /** List an alias's last 100 changes, newest first: the targets, the time and the API key. */
  list(name: string, options?: RequestOptions): PagePromise<T.AliasChange> {
    return this.client.getPage(path`/aliases/${name}/history`, options);
  }
}

export interface AliasesListParams extends PageParams {
}

export class Aliases extends APIResource {
  readonly history = new AliasesHistory(this.client);

  /** List the project's aliases, newest first, with their target models. */
  list(params?: AliasesListParams, options?: RequestOptions): PagePromise<T.Alias> {
    return this.client.getPage("/aliases", { query: params, ...options });
  }

  /**
   * Restore the targets from before the last change, effective immediately on every replica. A second rollback
   * undoes the first; send `If-Match` to avoid rolling back twice. The alias's gate is kept and does not apply to
   * a rollback.
   */
  rollback(name: string, options?: RequestOptions): APIPromise<T.Alias> {
    return this.client.post(path`/aliases/${name}/rollback`, options);
  }

  /** Retrieve an alias's current targets, and its `etag` for conditional changes. */
  retrieve(name: string, options?: RequestOptions): APIPromise<T.Alias> {
    return this.client.get(path`/aliases/${name}`, options);
  }

  /** Point an alias at a model, or split its requests between two models, in one atomic step. */
  set(name: string, params: T.PutAlias, options?: RequestOptions): APIPromise<T.Alias> {
    return this.client.put(path`/aliases/${name}`, { body: params, ...options });
  }

  /**
   * Delete an alias and its history. Its target models are kept. If it has suites, remove them first, with a
   * reason.
   */
  delete(name: string, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete(path`/aliases/${name}`, options);
  }
}

export interface ProjectsApiKeysListParams extends PageParams {
}

export class ProjectsApiKeys extends APIResource {
  /**
   * Create an API key for a project. `value` in the response is the secret. It is shown only once, because the
   * service stores only its digest.
   */
  create(projectId: string, params: T.CreateApiKey, options?: RequestOptions): APIPromise<T.CreatedApiKey> {
    return this.client.post(path`/organization/projects/${projectId}/api_keys`, { body: params, ...options });
  }

  /** List the project's API keys, newest first, without their secrets. */
  list(projectId: string, params?: ProjectsApiKeysListParams, options?: RequestOptions): PagePromise<T.ApiKey> {
    return this.client.getPage(path`/organization/projects/${projectId}/api_keys`, { query: params, ...options });
  }

  /** Retrieve an API key without its secret. */
  retrieve(keyId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.ApiKey> {
    const { project_id } = params;
    return this.client.get(path`/organization/projects/${project_id}/api_keys/${keyId}`, options);
  }

  /**
   * Update a key's name, role, models, expiry, addresses or inference limits, which apply within those of its
   * project. Changes take effect within seconds.
   */
  update(keyId: string, params: { project_id: string } & T.UpdateApiKey, options?: RequestOptions): APIPromise<T.ApiKey> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/api_keys/${keyId}`, { body: rest, ...options });
  }

  /** Revoke an API key permanently. It stops working everywhere within seconds. */
  delete(keyId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    const { project_id } = params;
    return this.client.delete(path`/organization/projects/${project_id}/api_keys/${keyId}`, options);
  }

  /**
   * Give an API key a new secret, which is in `value` and not shown again. The previous secrets stay valid for
   * `overlap_seconds`, but not beyond their own expiry, so that programs can switch to the new one. The key's ID,
   * role, limits and usage stay the same.
   */
  rotate(keyId: string, params: { project_id: string } & T.RotateApiKey, options?: RequestOptions): APIPromise<T.CreatedApiKey> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/api_keys/${keyId}/rotate`, { body: rest, ...options });
  }
}

export class ProjectsServiceAccountsApiKeys extends APIResource {
  /**
   * Create another key of a service account, with the account's role. Its secret is in `value`, shown only once.
   * Change or revoke it like any other key of the project.
   */
  create(serviceAccountId: string, params: { project_id: string } & T.CreateServiceAccountApiKey, options?: RequestOptions): APIPromise<T.ServiceAccountApiKey> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}/api_keys`, { body: rest, ...options });
  }
}

export interface ProjectsServiceAccountsListParams extends PageParams {
}

export class ProjectsServiceAccounts extends APIResource {
  readonly apiKeys = new ProjectsServiceAccountsApiKeys(this.client);

  /**
   * Create a service account: a program that owns keys of the project. Its first key has the role `member`, and
   * its secret is in `api_key.value`, shown only once.
   */
  create(projectId: string, params: T.CreateServiceAccount, options?: RequestOptions): APIPromise<T.CreatedServiceAccount> {
    return this.client.post(path`/organization/projects/${projectId}/service_accounts`, { body: params, ...options });
  }

  /** List the project's service accounts, newest first. */
  list(projectId: string, params?: ProjectsServiceAccountsListParams, options?: RequestOptions): PagePromise<T.ServiceAccount> {
    return this.client.getPage(path`/organization/projects/${projectId}/service_accounts`, { query: params, ...options });
  }

  /** Retrieve a service account. */
  retrieve(serviceAccountId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.ServiceAccount> {
    const { project_id } = params;
    return this.client.get(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}`, options);
  }

  /**
   * Change the name or the role of a service account. A new role applies to all of its keys, including those
   * whose role was changed with `updateApiKey`.
   */
  update(serviceAccountId: string, params: { project_id: string } & T.UpdateServiceAccount, options?: RequestOptions): APIPromise<T.ServiceAccount> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}`, { body: rest, ...options });
  }

  /** Delete a service account and revoke all of its keys. Everything that they created is kept. */
  delete(serviceAccountId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    const { project_id } = params;
    return this.client.delete(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}`, options);
  }
}

export interface ProjectsListParams extends PageParams {
  /** Whether to include archived projects and those being deleted. Default: `false`. */
  include_archived?: boolean;
}

export class Projects extends APIResource {
  readonly apiKeys = new ProjectsApiKeys(this.client);
  readonly serviceAccounts = new ProjectsServiceAccounts(this.client);

  /**
   * Create a project: a tenant whose files, jobs, models and keys are isolated from those of other projects. Its
   * name is part of its model names and can never be reused. Create an API key for the project next.
   */
  create(params: T.CreateProject, options?: RequestOptions): APIPromise<T.Project> {
    return this.client.post("/organization/projects", { body: params, ...options });
  }

  /** List all projects of this installation, newest first. */
  list(params?: ProjectsListParams, options?: RequestOptions): PagePromise<T.Project> {
    return this.client.getPage("/organization/projects", { query: params, ...options });
  }

  /** Retrieve a project, the limits set for it and its bytes in storage. */
  retrieve(projectId: string, options?: RequestOptions): APIPromise<T.Project> {
    return this.client.get(path`/organization/projects/${projectId}`, options);
  }

  /**
   * Update the project's limits, which apply across all of its keys, or its capture of chats. Changes take effect
   * within seconds. A storage quota below the current use deletes nothing, and rejects new writes.
   */
  update(projectId: string, params: T.UpdateProject, options?: RequestOptions): APIPromise<T.Project> {
    return this.client.post(path`/organization/projects/${projectId}`, { body: params, ...options });
  }

  /**
   * Delete a project and everything in it: jobs, files, uploads, models, aliases, exports, evals, batches,
   * generations, stored chats, webhooks, recognizers and keys. Running jobs stop. This cannot be undone.
   */
  delete(projectId: string, options?: RequestOptions): APIPromise<T.Project> {
    return this.client.delete(path`/organization/projects/${projectId}`, options);
  }

  /**
   * Archive a project permanently. All of its keys stop working within seconds, and no new keys can be created.
   * Its data is kept, and work in progress continues. Archiving it again changes nothing.
   */
  archive(projectId: string, options?: RequestOptions): APIPromise<T.Project> {
    return this.client.post(path`/organization/projects/${projectId}/archive`, options);
  }
}

export interface AdminApiKeysListParams extends PageParams {
  /** Sort order by creation time. `desc` returns the newest first. Default: `asc`. */
  order?: "asc" | "desc";
}

export class AdminApiKeys extends APIResource {
  /**
   * Create a key with the role `admin`, which manages all projects and their keys. It belongs to the project of
   * the key that creates it. Its secret is in `value`, shown only once.
   */
  create(params: T.CreateAdminApiKey, options?: RequestOptions): APIPromise<T.CreatedAdminApiKey> {
    return this.client.post("/organization/admin_api_keys", { body: params, ...options });
  }

  /** List the keys of all projects with the role `admin`, oldest first by default. */
  list(params?: AdminApiKeysListParams, options?: RequestOptions): PagePromise<T.AdminApiKey> {
    return this.client.getPage("/organization/admin_api_keys", { query: params, ...options });
  }

  /** Retrieve a key with the role `admin`, without its secret. */
  retrieve(keyId: string, options?: RequestOptions): APIPromise<T.AdminApiKey> {
    return this.client.get(path`/organization/admin_api_keys/${keyId}`, options);
  }

  /** Revoke a key with the role `admin` permanently. It stops working everywhere within seconds. */
  delete(keyId: string, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete(path`/organization/admin_api_keys/${keyId}`, options);
  }
}

export interface UsageCompletionsParams {
  /** Start time (inclusive), as a Unix timestamp in seconds. */
  start_time: number;
  /** End time (exclusive), as a Unix timestamp in seconds. Defaults to now. */
  end_time?: number;
  /** Width of a bucket: one minute, hour or day. Default: `1d`. */
  bucket_width?: "1m" | "1h" | "1d";
  /** Maximum number of buckets per page. */
  limit?: number;
  /** Pagination cursor: `next_page` of the previous page. */
  page?: string;
  /** Whether to return only the usage of batches, or only the other usage. */
  batch?: boolean;
  /** Fields to group the results by. */
  group_by?: ("project_id" | "user_id" | "api_key_id" | "model" | "batch" | "service_tier" | "api_source")[];
  /** API keys to filter by. */
  api_key_ids?: string[];
  /** Models to filter by. */
  models?: string[];
  /** Projects to filter by. */
  project_ids?: string[];
  /** Users to filter by. The service has no users. */
  user_ids?: string[];
}

export class Usage extends APIResource {
  /** Retrieve request and token counts by minute (kept for 2 days), hour or day (kept for 400 days), in UTC. */
  completions(params: UsageCompletionsParams, options?: RequestOptions): PagePromise<T.CompletionsUsageBucket> {
    return this.client.getPage("/organization/usage/completions", { query: params, ...options });
  }
}

export interface AuditLogsListParams extends PageParams {
  /** Whether to return only tenant events. The service has none. Default: `false`. */
  tenant_only?: boolean;
  /** Cursor for pagination: the `first_id` of a page, to get the one before. */
  before?: string;
  /** Only entries after this time. */
  "effective_at[gt]"?: number;
  /** Only entries at this time or later. */
  "effective_at[gte]"?: number;
  /** Only entries before this time. */
  "effective_at[lt]"?: number;
  /** Only entries at this time or earlier. */
  "effective_at[lte]"?: number;
  /** Projects to filter by. */
  project_ids?: string[];
  /** Types of events to filter by. */
  event_types?: string[];
  /** IDs of API keys to filter by. */
  actor_ids?: string[];
  /** IDs of files, jobs, models, keys and other objects to filter by. */
  resource_ids?: string[];
  /** Email addresses of users. The service has no users. */
  actor_emails?: string[];
}

export class AuditLogs extends APIResource {
  /**
   * List the entries of the audit log, newest first: changes, reads of training data, and rejected keys and
   * permissions. Requests to models are counted by key and minute.
   */
  list(params?: AuditLogsListParams, options?: RequestOptions): PagePromise<T.AuditLog> {
    return this.client.getPage("/organization/audit_logs", { query: params, ...options });
  }

  /**
   * Check that no sealed entry of the audit log was changed, deleted, added or moved, as `finetuned-server audit
   * verify` does. It reads the whole log, which takes about 20 seconds per million entries; an API process does
   * one verification at a time.
   */
  verify(params?: T.VerifyAuditLogs, options?: RequestOptions): APIPromise<T.AuditLogVerification> {
    return this.client.post("/organization/audit_logs/verify", { body: params, ...options });
  }
}

export class Workers extends APIResource {
  /**
   * List the running workers with their devices and tasks, sorted by name. A worker that has stopped disappears
   * at once, one that was killed after 20 seconds.
   */
  list(options?: RequestOptions): PagePromise<T.Worker> {
    return this.client.getPage("/organization/workers", options);
  }
}

export class Queues extends APIResource {
  /**
   * List the queues of tasks for workers. Jobs reach the queue `gpu` only when a worker is free to take them;
   * until then, `GET /v1/fine_tuning/jobs` shows their positions.
   */
  list(options?: RequestOptions): PagePromise<T.Queue> {
    return this.client.getPage("/organization/queues", options);
  }
}

export class Engines extends APIResource {
  /**
   * List the engines with their health and load. The status is that of the API process that answers; the figures
   * are read from the engines, of which each has 3 seconds to answer.
   */
  list(options?: RequestOptions): PagePromise<T.Engine> {
    return this.client.getPage("/organization/engines", options);
  }
}

export interface ErasuresListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
}

export interface ErasuresRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class Erasures extends APIResource {
  /**
   * Find the rows of all files and the stored chats of the key's project that match, for example everything about
   * one person, and list the files, the lines and the models trained on them.
   */
  create(params: T.CreateErasure, options?: RequestOptions): APIPromise<T.Erasure> {
    return this.client.post("/organization/erasures", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateErasure, options?: WaitOptions<T.Erasure> & RequestOptions): Promise<T.Erasure> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's erasures, newest first by default. */
  list(params?: ErasuresListParams, options?: RequestOptions): PagePromise<T.Erasure> {
    return this.client.getPage("/organization/erasures", { query: params, ...options });
  }

  /**
   * Get an erasure: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: ErasuresRetrieveParams, options?: RequestOptions): APIPromise<T.Erasure> {
    return this.client.get(path`/organization/erasures/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.Erasure>): Promise<T.Erasure> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete an erasure. Returns 409 if it has not ended: cancel it first. The files that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/organization/erasures/${id}`, options);
  }

  /**
   * Cancel an erasure. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.Erasure> {
    return this.client.post(path`/organization/erasures/${id}/cancel`, options);
  }
}

export class AdminOrganization extends APIResource {
  readonly projects = new Projects(this.client);
  readonly adminApiKeys = new AdminApiKeys(this.client);
  readonly usage = new Usage(this.client);
  readonly auditLogs = new AuditLogs(this.client);
  readonly workers = new Workers(this.client);
  readonly queues = new Queues(this.client);
  readonly engines = new Engines(this.client);
  readonly erasures = new Erasures(this.client);

  /**
   * Run the checks of `finetuned-server doctor` that need no access to a machine: Redis, storage, workers,
   * engines and the audit log. Each says what was found and how to fix it.
   */
  diagnostics(options?: RequestOptions): APIPromise<T.Diagnostics> {
    return this.client.get("/organization/diagnostics", options);
  }
}

export class Admin extends APIResource {
  readonly organization = new AdminOrganization(this.client);
}

export class SessionMethods extends APIResource {
  /** List the ways to sign in to the console of this installation. Needs no API key. */
  list(options?: RequestOptions): PagePromise<T.SignInMethod> {
    return this.client.getPage("/session/methods", options);
  }
}

export class SessionResource extends APIResource {
  readonly methods = new SessionMethods(this.client);

  /** Retrieve the session of the request's cookie, with its CSRF token. */
  retrieve(options?: RequestOptions): APIPromise<T.Session> {
    return this.client.get("/session", options);
  }

  /**
   * Begin a session with the API key of the request, or with a token of the identity provider. The answer sets a
   * cookie that pages cannot read. Further requests need no `Authorization` header; those that change something
   * need the header `X-CSRF-Token`.
   */
  create(options?: RequestOptions): APIPromise<T.Session> {
    return this.client.post("/session", options);
  }

  /** End the session of the request's cookie in all processes, and remove the cookie. */
  delete(options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete("/session", options);
  }
}

export interface EvalsRunsOutputItemsListParams extends PageParams {
  /** Status to filter by. `failed` is the same as `fail`. */
  status?: "pass" | "fail" | "failed" | "error";
  /**
   * Whether to show personal data in texts, or to replace it by labels such as `[EMAIL]`. The audit log notes who
   * asked for it to be shown. Default: `show`.
   */
  personal_data?: "mask" | "show";
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
}

export interface EvalsRunsOutputItemsRetrieveParams {
  /**
   * Whether to show personal data in texts, or to replace it by labels such as `[EMAIL]`. The audit log notes who
   * asked for it to be shown. Default: `show`.
   */
  personal_data?: "mask" | "show";
}

export class EvalsRunsOutputItems extends APIResource {
  /** List the output items of a run in the order in which they finished, also while the run is in progress. */
  list(runId: string, params: { eval_id: string } & EvalsRunsOutputItemsListParams, options?: RequestOptions): PagePromise<T.EvalRunOutputItem> {
    const { eval_id, ...rest } = params;
    return this.client.getPage(path`/evals/${eval_id}/runs/${runId}/output_items`, { query: rest, ...options });
  }

  /** Retrieve an output item: the item, the prompt, the answer, and each grader's result. */
  retrieve(outputItemId: string, params: { eval_id: string; run_id: string } & EvalsRunsOutputItemsRetrieveParams, options?: RequestOptions): APIPromise<T.EvalRunOutputItem> {
    const { eval_id, run_id, ...rest } = params;
    return this.client.get(path`/evals/${eval_id}/runs/${run_id}/output_items/${outputItemId}`, { query: rest, ...options });
  }
}

export interface EvalsRunsListParams extends PageParams {
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Values of `status` to filter by. */
  status?: T.EvalRunStatus[];
}

export class EvalsRuns extends APIResource {
  readonly outputItems = new EvalsRunsOutputItems(this.client);

  /** Create a run of an eval. A worker samples an answer to each item and grades it, behind the requests of users. */
  create(evalId: string, params: T.CreateEvalRun, options?: RequestOptions): APIPromise<T.EvalRun> {
    return this.client.post(path`/evals/${evalId}/runs`, { body: params, repeatable: true, ...options });
  }

  /**
   * List the runs of an eval, oldest first by default. A page can have fewer runs than `limit` if their requests
   * contain many items.
   */
  list(evalId: string, params?: EvalsRunsListParams, options?: RequestOptions): PagePromise<T.EvalRun> {
    return this.client.getPage(path`/evals/${evalId}/runs`, { query: params, ...options });
  }

  /** Retrieve a run: its status, its counters, and when it is expected to end. */
  retrieve(runId: string, params: { eval_id: string }, options?: RequestOptions): APIPromise<T.EvalRun> {
    const { eval_id } = params;
    return this.client.get(path`/evals/${eval_id}/runs/${runId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(runId: string, params: { eval_id: string }, options?: WaitOptions<T.EvalRun>): Promise<T.EvalRun> {
    return waitFor((request) => this.retrieve(runId, params, request), options);
  }

  /** Delete a run with its output items. A run in progress stops. `receipt` is the ID of a signed receipt. */
  delete(runId: string, params: { eval_id: string }, options?: RequestOptions): APIPromise<T.EvalRunDeleted> {
    const { eval_id } = params;
    return this.client.delete(path`/evals/${eval_id}/runs/${runId}`, options);
  }

  /**
   * Cancel a run, as `cancelEvalRun` does. OpenAI's SDK for Python uses this path, and its SDK for Node the
   * other.
   */
  cancel(runId: string, params: { eval_id: string }, options?: RequestOptions): APIPromise<T.EvalRun> {
    const { eval_id } = params;
    return this.client.post(path`/evals/${eval_id}/runs/${runId}/cancel`, options);
  }
}

export interface EvalsListParams extends PageParams {
  /** Time to order by. Default: `created_at`. */
  order_by?: "created_at" | "updated_at";
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
}

export interface EvalsCompareParams extends PageParams {
  /** IDs of 2 to 5 ended runs, separated by commas. The first is the baseline. */
  runs: string;
  /** Only items with this change. Defaults to all. */
  change?: "worse" | "missing" | "equal" | "better";
  /** Format: JSON or Markdown. Defaults to JSON, or to Markdown if the header `Accept` is `text/markdown`. */
  format?: "json" | "md";
  /**
   * Whether to show personal data in texts, or to replace it by labels such as `[EMAIL]`. The audit log notes who
   * asked for it to be shown. Default: `show`.
   */
  personal_data?: "mask" | "show";
}

export class Evals extends APIResource {
  readonly runs = new EvalsRuns(this.client);

  /**
   * Create an eval: the schema of its items, and the graders that judge each item. Then create runs of it, for
   * different models and prompts.
   */
  create(params: T.CreateEval, options?: RequestOptions): APIPromise<T.Eval> {
    return this.client.post("/evals", { body: params, repeatable: true, ...options });
  }

  /** List the project's evals, oldest first by default. */
  list(params?: EvalsListParams, options?: RequestOptions): PagePromise<T.Eval> {
    return this.client.getPage("/evals", { query: params, ...options });
  }

  /** Retrieve an eval with its schema and graders. */
  retrieve(evalId: string, options?: RequestOptions): APIPromise<T.Eval> {
    return this.client.get(path`/evals/${evalId}`, options);
  }

  /** Update the name or the metadata of an eval. Its schema and graders never change. */
  update(evalId: string, params?: T.UpdateEval, options?: RequestOptions): APIPromise<T.Eval> {
    return this.client.post(path`/evals/${evalId}`, { body: params, ...options });
  }

  /**
   * Delete an eval with all its runs and their output items. Runs in progress stop. `receipt` is the ID of a
   * signed receipt.
   */
  delete(evalId: string, options?: RequestOptions): APIPromise<T.EvalDeleted> {
    return this.client.delete(path`/evals/${evalId}`, options);
  }

  /**
   * Compare ended runs of an eval: mean scores and paired differences with 95% confidence intervals, tokens and
   * latency, and the items, those that got worse first.
   */
  compare(evalId: string, params: EvalsCompareParams, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/evals/${evalId}/compare`, { query: params, ...options });
  }
}

export interface AliasChecksListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Name of the alias. */
  alias?: string;
}

export interface AliasChecksRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class AliasChecks extends APIResource {
  /**
   * Run the suites of an alias with a model, and compare the runs with the suites' baselines. With `move`, the
   * alias then points at the model if no lower limit of an interval is below its bound. Otherwise a `PUT` of the
   * alias can use the result.
   */
  create(params: T.CreateAliasCheck, options?: RequestOptions): APIPromise<T.AliasCheck> {
    return this.client.post("/alias_checks", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateAliasCheck, options?: WaitOptions<T.AliasCheck> & RequestOptions): Promise<T.AliasCheck> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's alias checks, newest first by default. */
  list(params?: AliasChecksListParams, options?: RequestOptions): PagePromise<T.AliasCheck> {
    return this.client.getPage("/alias_checks", { query: params, ...options });
  }

  /**
   * Get an alias check: its status, its progress, and its result once it is completed. With `wait`, the response
   * is sent when it ends.
   */
  retrieve(id: string, params?: AliasChecksRetrieveParams, options?: RequestOptions): APIPromise<T.AliasCheck> {
    return this.client.get(path`/alias_checks/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.AliasCheck>): Promise<T.AliasCheck> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete an alias check. If it is in progress, it stops. The runs that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/alias_checks/${id}`, options);
  }

  /**
   * Cancel an alias check. The status is `cancelling` while its work is still being stopped. Returns 409 if it
   * has already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.AliasCheck> {
    return this.client.post(path`/alias_checks/${id}/cancel`, options);
  }
}

export interface BatchesListParams extends PageParams {
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Values of `status` to filter by. */
  status?: T.BatchStatus[];
}

export class Batches extends APIResource {
  /**
   * Create a batch. A worker answers the requests of an uploaded file at the lowest priority, and writes the
   * answers to a file.
   */
  create(params: T.CreateBatch, options?: RequestOptions): APIPromise<T.Batch> {
    return this.client.post("/batches", { body: params, repeatable: true, ...options });
  }

  /** List the project's batches, newest first. */
  list(params?: BatchesListParams, options?: RequestOptions): PagePromise<T.Batch> {
    return this.client.getPage("/batches", { query: params, ...options });
  }

  /** Retrieve a batch: its status, its counters, and its files once it has ended. */
  retrieve(batchId: string, options?: RequestOptions): APIPromise<T.Batch> {
    return this.client.get(path`/batches/${batchId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(batchId: string, options?: WaitOptions<T.Batch>): Promise<T.Batch> {
    return waitFor((request) => this.retrieve(batchId, request), options);
  }

  /**
   * Cancel a batch. The status is `cancelling` until a worker has written the files, which usually takes seconds,
   * and then `cancelled`. The answers so far are kept. Returns 409 if the batch has ended or is `finalizing`.
   */
  cancel(batchId: string, options?: RequestOptions): APIPromise<T.Batch> {
    return this.client.post(path`/batches/${batchId}/cancel`, options);
  }
}

export interface DatasetGenerationsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** Text to search in IDs and names, regardless of upper and lower case. */
  search?: string;
  /** Only objects created at this time or later (Unix seconds). */
  created_after?: number;
  /** Only objects created before this time (Unix seconds). */
  created_before?: number;
  /**
   * ID of the API key that created the objects, or of a service account, for those created with its keys. Files,
   * models and evals of versions before 0.3 do not say who created them.
   */
  created_by?: string;
  /** `counts`: return the number of objects that match. */
  include?: "counts"[];
  /** Model that writes the rows. */
  model?: string;
}

export interface DatasetGenerationsRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class DatasetGenerations extends APIResource {
  /**
   * Generate training rows from documents. A worker cuts them into passages, asks a model of this installation
   * for rows about each at the lowest priority, has each row checked, and writes those that pass to a new file
   * with the purpose `fine-tune`. Nothing leaves the installation.
   */
  create(params: T.CreateDatasetGeneration, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.post("/dataset_generations", { body: params, repeatable: true, ...options });
  }

  /** Create an object, and return it once it has ended. Check its `status`. */
  async createAndWait(params: T.CreateDatasetGeneration, options?: WaitOptions<T.DatasetGeneration> & RequestOptions): Promise<T.DatasetGeneration> {
    const { id } = await this.create(params, options);
    return this.wait(id, options);
  }

  /** List the project's generations, newest first by default. */
  list(params?: DatasetGenerationsListParams, options?: RequestOptions): PagePromise<T.DatasetGeneration> {
    return this.client.getPage("/dataset_generations", { query: params, ...options });
  }

  /**
   * Get a generation: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: DatasetGenerationsRetrieveParams, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.get(path`/dataset_generations/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.DatasetGeneration>): Promise<T.DatasetGeneration> {
    return waitFor((request, wait) => this.retrieve(id, { wait }, pollOf(wait, request)), options);
  }

  /** Delete a generation. Returns 409 if it has not ended: cancel it first. The files that it created are kept. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/dataset_generations/${id}`, options);
  }

  /**
   * Cancel a generation. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already completed or failed.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.post(path`/dataset_generations/${id}/cancel`, options);
  }
}

export interface WebhookEndpointsDeliveriesListParams extends PageParams {
}

export class WebhookEndpointsDeliveries extends APIResource {
  /**
   * List the latest attempts to deliver events to an endpoint, newest first. The log keeps 100 attempts and
   * expires 30 days after the last one. Extension of OpenAI's API.
   */
  list(webhookEndpointId: string, params?: WebhookEndpointsDeliveriesListParams, options?: RequestOptions): PagePromise<T.WebhookDelivery> {
    return this.client.getPage(path`/webhook_endpoints/${webhookEndpointId}/deliveries`, { query: params, ...options });
  }
}

export interface WebhookEndpointsListParams extends PageParams {
}

export class WebhookEndpoints extends APIResource {
  readonly deliveries = new WebhookEndpointsDeliveries(this.client);

  /**
   * Register a URL that receives a signed request for each event of the given types, such as the end of a
   * fine-tuning job. The response contains the signing secret, which is not shown again. A project can have up to
   * 10 endpoints.
   */
  create(params: T.CreateWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpointWithSecret> {
    return this.client.post("/webhook_endpoints", { body: params, ...options });
  }

  /** List the project's webhook endpoints, newest first, without their secrets. */
  list(params?: WebhookEndpointsListParams, options?: RequestOptions): PagePromise<T.WebhookEndpoint> {
    return this.client.getPage("/webhook_endpoints", { query: params, ...options });
  }

  /** Retrieve a webhook endpoint without its secret. `status` shows whether it still receives events. */
  retrieve(webhookEndpointId: string, options?: RequestOptions): APIPromise<T.WebhookEndpoint> {
    return this.client.get(path`/webhook_endpoints/${webhookEndpointId}`, options);
  }

  /**
   * Update the given fields. Pending deliveries go to the new URL. An update with `url` also enables an endpoint
   * that was disabled because it answered 410.
   */
  update(webhookEndpointId: string, params: T.UpdateWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpoint> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}`, { body: params, ...options });
  }

  /**
   * Delete an endpoint and its delivery log. Pending deliveries are dropped; a request in progress may still
   * arrive.
   */
  delete(webhookEndpointId: string, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete(path`/webhook_endpoints/${webhookEndpointId}`, options);
  }

  /**
   * Replace the signing secret immediately. All later requests, including retries, are signed with the new
   * secret, and for 24 hours also with the old one if you ask for that. The response contains the new secret,
   * which is not shown again.
   */
  rotateSecret(webhookEndpointId: string, params?: T.RotateWebhookEndpointSecret, options?: RequestOptions): APIPromise<T.WebhookEndpointWithSecret> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}/rotate_secret`, { body: params, ...options });
  }

  /**
   * Send a signed sample event and wait for the response. The event type need not be one that the endpoint
   * subscribes to. A worker sends the event once, ahead of the endpoint's other events, and the delivery log
   * shows the attempt. The error `webhook_test_failed` means that the endpoint did not respond.
   */
  test(webhookEndpointId: string, params: T.TestWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpointTestResult> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}/test`, { body: params, ...options });
  }
}

export class WebhookEventTypes extends APIResource {
  /** List the event types that an endpoint can subscribe to. */
  list(options?: RequestOptions): APIPromise<T.WebhookEventTypeList> {
    return this.client.get("/webhook_event_types", options);
  }
}

export interface ChatCompletionsMessagesListParams extends PageParams {
  /** Sort order by creation time. `desc` returns the newest first. Default: `asc`. */
  order?: "asc" | "desc";
}

export class ChatCompletionsMessages extends APIResource {
  /** List the messages of the request of a stored chat completion, oldest first by default. */
  list(completionId: string, params?: ChatCompletionsMessagesListParams, options?: RequestOptions): PagePromise<T.StoredChatMessage> {
    return this.client.getPage(path`/chat/completions/${completionId}/messages`, { query: params, ...options });
  }
}

export interface ChatCompletionsListParams extends PageParams {
  /** Model to filter by. */
  model?: string;
  /** Sort order by creation time. `desc` returns the newest first. Default: `asc`. */
  order?: "asc" | "desc";
  /** Metadata to filter by, as `metadata[key]=value`. */
  metadata?: Record<string, string>;
}

export interface ChatCompletionsDeleteAllParams {
  /** Model to filter by. */
  model?: string;
}

export class ChatCompletions extends APIResource {
  readonly messages = new ChatCompletionsMessages(this.client);

  /**
   * List the stored chat completions of the project, oldest first by default. Personal data in them was replaced
   * before they were stored.
   */
  list(params?: ChatCompletionsListParams, options?: RequestOptions): PagePromise<T.StoredChat> {
    return this.client.getPage("/chat/completions", { query: params, ...options });
  }

  /**
   * Delete all stored chat completions of the project, or those of a model, with their content. Training files
   * created from them are kept.
   */
  deleteAll(params?: ChatCompletionsDeleteAllParams, options?: RequestOptions): APIPromise<T.StoredChatsDeleted> {
    return this.client.delete("/chat/completions", { query: params, ...options });
  }

  /**
   * Generates the next message of a conversation. `model` is the ID of a base model, a trained model or an alias
   * in the project. The service forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's
   * reference and vLLM's sampling parameters, including those not listed here, and answers any other parameter
   * with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine does are answered
   * with 400 and the code `unsupported_parameter`. If `stream` is true, the response is a stream of server-sent
   * events: one `data:` line of JSON each, then `data: [DONE]`. A failure during the stream is sent as an event
   * with the body `ErrorResponse`.
   */
  create(params: T.CreateChatCompletion & { stream?: false | null }, options?: RequestOptions): APIPromise<T.ChatCompletion> {
    return this.client.post("/chat/completions", { body: params, ...options });
  }

  /** Retrieve a stored chat completion. It is stored within seconds after its answer. */
  retrieve(completionId: string, options?: RequestOptions): APIPromise<T.StoredChat> {
    return this.client.get(path`/chat/completions/${completionId}`, options);
  }

  /** Replace the metadata of a stored chat completion, for example to mark good answers. */
  update(completionId: string, params: T.UpdateStoredChat, options?: RequestOptions): APIPromise<T.StoredChat> {
    return this.client.post(path`/chat/completions/${completionId}`, { body: params, ...options });
  }

  /** Delete a stored chat completion with its bytes. */
  delete(completionId: string, options?: RequestOptions): APIPromise<T.ProjectObjectDeleted> {
    return this.client.delete(path`/chat/completions/${completionId}`, options);
  }
}

export class Chat extends APIResource {
  readonly completions = new ChatCompletions(this.client);
}

export class DatasetsChatCompletions extends APIResource {
  /**
   * Write stored chat completions to a file with the purpose `fine-tune`, one row for each, and check it like an
   * upload. Answers that the limit of tokens cut off are left out.
   */
  create(params: T.CreateStoredChatFile, options?: RequestOptions): APIPromise<T.FileObject> {
    return this.client.post("/datasets/chat_completions", { body: params, ...options });
  }
}

export class Datasets extends APIResource {
  readonly chatCompletions = new DatasetsChatCompletions(this.client);
}

export class Completions extends APIResource {
  /**
   * Continues a text without applying a chat template. `model` is the ID of a base model, a trained model or an
   * alias in the project. The service forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's
   * reference and vLLM's sampling parameters, including those not listed here, and answers any other parameter
   * with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine does are answered
   * with 400 and the code `unsupported_parameter`. If `stream` is true, the response is a stream of server-sent
   * events: one `data:` line of JSON each, then `data: [DONE]`. A failure during the stream is sent as an event
   * with the body `ErrorResponse`.
   */
  create(params: T.CreateCompletion & { stream?: false | null }, options?: RequestOptions): APIPromise<T.Completion> {
    return this.client.post("/completions", { body: params, ...options });
  }
}

export class Responses extends APIResource {
  /**
   * Generates a response with OpenAI's Responses API. `model` is the ID of a base model, a trained model or an
   * alias in the project. The service forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's
   * reference and vLLM's sampling parameters, including those not listed here, and answers any other parameter
   * with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine does are answered
   * with 400 and the code `unsupported_parameter`. A response cannot be continued by its ID:
   * `previous_response_id` finds none. If `stream` is true, the response is a stream of server-sent events: one
   * `data:` line of JSON each, preceded by an `event:` line with the event's type; the last is
   * `response.completed`, or `response.incomplete` if the answer reached the token limit. A failure during the
   * stream is sent as an event with the body `ErrorResponse`.
   */
  create(params: T.CreateResponse & { stream?: false | null }, options?: RequestOptions): APIPromise<T.ModelResponse> {
    return this.client.post("/responses", { body: params, ...options });
  }
}

export class EmbeddingsResource extends APIResource {
  /**
   * Converts texts to embedding vectors. The base model must be an embedding model; others answer 400 with the
   * code `unsupported_model`. `model` is the ID of a base model, a trained model or an alias in the project. The
   * service forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's reference and vLLM's
   * sampling parameters, including those not listed here, and answers any other parameter with 400 and the code
   * `unknown_parameter`. Audio, hosted tools and whatever else no engine does are answered with 400 and the code
   * `unsupported_parameter`.
   */
  create(params: T.CreateEmbeddings, options?: RequestOptions): APIPromise<T.Embeddings> {
    return this.client.post("/embeddings", { body: params, ...options });
  }
}

/** Client with the resources that only call routes. */
export class Resources extends APIClient {
  readonly files = new Files(this);
  readonly uploads = new Uploads(this);
  readonly datasetReports = new DatasetReports(this);
  readonly datasetPreviews = new DatasetPreviews(this);
  readonly datasetCleanings = new DatasetCleanings(this);
  readonly datasetDiffs = new DatasetDiffs(this);
  readonly datasetMerges = new DatasetMerges(this);
  readonly recognizers = new Recognizers(this);
  readonly modelImports = new ModelImports(this);
  readonly fineTuning = new FineTuning(this);
  readonly advice = new Advice(this);
  readonly sweeps = new Sweeps(this);
  readonly models = new Models(this);
  readonly modelExports = new ModelExports(this);
  readonly erasureReceipts = new ErasureReceipts(this);
  readonly aliases = new Aliases(this);
  readonly admin = new Admin(this);
  readonly session = new SessionResource(this);
  readonly evals = new Evals(this);
  readonly aliasChecks = new AliasChecks(this);
  readonly batches = new Batches(this);
  readonly datasetGenerations = new DatasetGenerations(this);
  readonly webhookEndpoints = new WebhookEndpoints(this);
  readonly webhookEventTypes = new WebhookEventTypes(this);
  readonly chat = new Chat(this);
  readonly datasets = new Datasets(this);
  readonly completions = new Completions(this);
  readonly responses = new Responses(this);
  readonly embeddings = new EmbeddingsResource(this);

  /**
   * Retrieve the API key that the request was sent with, its project, the limits that apply to both, and how much
   * of them is used.
   */
  whoami(options?: RequestOptions): APIPromise<T.Caller> {
    return this.get("/whoami", options);
  }
}
