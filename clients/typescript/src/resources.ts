/** Resources of the API. Generated from openapi.json by `npm run generate`. */

import { APIClient, APIResource, path, type RequestOptions } from "./core.js";
import type { APIPromise, PageParams, PagePromise } from "./promise.js";
import { type WatchOptions, watchEvents } from "./streams.js";
import type * as T from "./types.js";
import { type WaitOptions, waitFor } from "./wait.js";

export interface FilesRowsListParams extends PageParams {
  /** Code of a finding that the rows have. */
  issue?: string;
  /** Language of the rows, by its code. */
  language?: string;
  /** Highest score of the rows. */
  max_score?: number;
  /** Order of the rows: `line` for that of the file, `score` for the lowest scores first. Default: `line`. */
  sort?: "line" | "score";
  /** Base model whose tokenizer counts tokens; all base models if omitted. */
  model?: string;
  /**
   * Text encoder. No longer supported: requests that set it are rejected.
   * @deprecated
   */
  encoder?: string;
}

export class FilesRows extends APIResource {
  /**
   * List rows, each with its content, its quality score, and what the report found in it. A page has at most 4
   * MiB of rows, so it may have fewer rows than `limit`.
   */
  list(fileId: string, params?: FilesRowsListParams, options?: RequestOptions): PagePromise<T.RowObject> {
    return this.client.getPage(path`/files/${fileId}/rows`, { query: params, ...options });
  }
}

export interface FilesCleanListParams extends PageParams {
}

export class FilesClean extends APIResource {
  /** Clean a file in the background. The results are new files; the source file is not modified. */
  create(fileId: string, params?: T.CleanRequest, options?: RequestOptions): APIPromise<T.CleaningObject> {
    return this.client.post(path`/files/${fileId}/clean`, { body: params, repeatable: true, ...options });
  }

  /** List a file's cleanings, newest first. */
  list(fileId: string, params?: FilesCleanListParams, options?: RequestOptions): PagePromise<T.CleaningObject> {
    return this.client.getPage(path`/files/${fileId}/clean`, { query: params, ...options });
  }

  /**
   * Retrieve a cleaning's status, its output files, and the number of dropped and changed rows by reason.
   * `diff_file` describes each affected row.
   */
  retrieve(cleaningId: string, params: { file_id: string }, options?: RequestOptions): APIPromise<T.CleaningObject> {
    const { file_id } = params;
    return this.client.get(path`/files/${file_id}/clean/${cleaningId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(cleaningId: string, params: { file_id: string }, options?: WaitOptions<T.CleaningObject>): Promise<T.CleaningObject> {
    return waitFor((request) => this.retrieve(cleaningId, params, request), options);
  }
}

export interface FilesDiffRowsListParams extends PageParams {
  /** ID of the later file, which has passed its check. */
  other_file: string;
  /** Kind of difference; all if omitted. */
  change?: "changed" | "removed" | "added";
}

export class FilesDiffRows extends APIResource {
  /**
   * List the rows that differ between a training file and a later one, each with its lines and both versions:
   * first the changed rows, then the removed ones, then the added ones. A page has at most 4 MiB of rows, so it
   * may have fewer rows than `limit`.
   */
  list(fileId: string, params: FilesDiffRowsListParams, options?: RequestOptions): PagePromise<T.DiffRowObject> {
    return this.client.getPage(path`/files/${fileId}/diff/rows`, { query: params, ...options });
  }
}

export interface FilesDiffRetrieveParams {
  /** ID of the later file, which has passed its check. */
  other_file: string;
}

export class FilesDiff extends APIResource {
  readonly rows = new FilesDiffRows(this.client);

  /**
   * Compare a training file with a later one, such as the output of a cleaning: how many rows are unchanged,
   * changed, removed and added, and what shifts in languages, lengths, turns, system prompts, tools, classes and
   * personal data.
   */
  retrieve(fileId: string, params: FilesDiffRetrieveParams, options?: RequestOptions): APIPromise<T.FileDiff> {
    return this.client.get(path`/files/${fileId}/diff`, { query: params, ...options });
  }
}

export interface FilesMergesListParams extends PageParams {
}

export class FilesMerges extends APIResource {
  /** List the merges whose first file this is, newest first. They are deleted with the file. */
  list(fileId: string, params?: FilesMergesListParams, options?: RequestOptions): PagePromise<T.MergeObject> {
    return this.client.getPage(path`/files/${fileId}/merges`, { query: params, ...options });
  }

  /**
   * Retrieve a merge's status, its output files, what became of the rows of each file, and the conflicts between
   * the files. `file_id` is the first of the merged files.
   */
  retrieve(mergeId: string, params: { file_id: string }, options?: RequestOptions): APIPromise<T.MergeObject> {
    const { file_id } = params;
    return this.client.get(path`/files/${file_id}/merges/${mergeId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(mergeId: string, params: { file_id: string }, options?: WaitOptions<T.MergeObject>): Promise<T.MergeObject> {
    return waitFor((request) => this.retrieve(mergeId, params, request), options);
  }
}

export interface FilesImportsListParams extends PageParams {
}

export class FilesImports extends APIResource {
  /** List the imports of an archive, newest first. They are deleted with the file. */
  list(fileId: string, params?: FilesImportsListParams, options?: RequestOptions): PagePromise<T.ModelImport> {
    return this.client.getPage(path`/files/${fileId}/imports`, { query: params, ...options });
  }

  /**
   * Retrieve an import's status, the name of its model, and the differences that were found between the adapter's
   * folder and the base model; or the reason why it failed.
   */
  retrieve(importId: string, params: { file_id: string }, options?: RequestOptions): APIPromise<T.ModelImport> {
    const { file_id } = params;
    return this.client.get(path`/files/${file_id}/imports/${importId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(importId: string, params: { file_id: string }, options?: WaitOptions<T.ModelImport>): Promise<T.ModelImport> {
    return waitFor((request) => this.retrieve(importId, params, request), options);
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
  /** `FormatFields` as a JSON object, or as flattened fields such as `format[columns][prompt]=Frage`. */
  format?: string;
}

export interface FilesListParams extends PageParams {
  /** Purpose to filter by. */
  purpose?: T.Purpose;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
}

export interface FilesDeleteParams {
  /**
   * Whether to delete everything that was trained on the file too: models, checkpoints, exports and evaluations.
   * Needs the permission `model.write`. Default: `false`.
   */
  cascade?: boolean;
}

export interface FilesReportParams {
  /** Base model whose tokenizer counts tokens; all base models if omitted. */
  model?: string;
  /** ID of a validation file to check for shared rows. */
  validation_file?: string;
  /**
   * Text encoder. No longer supported: requests that set it are rejected.
   * @deprecated
   */
  encoder?: string;
  /** Format of the report: JSON, HTML or Markdown. Default: `json`. */
  format?: "json" | "html" | "md";
}

export class Files extends APIResource {
  readonly rows = new FilesRows(this.client);
  readonly clean = new FilesClean(this.client);
  readonly diff = new FilesDiff(this.client);
  readonly merges = new FilesMerges(this.client);
  readonly imports = new FilesImports(this.client);

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

  /** Read the first rows of a training file with other format options, without uploading it again. */
  preview(params: T.PreviewRequest, options?: RequestOptions): APIPromise<T.FilePreview> {
    return this.client.post("/files/preview", { body: params, ...options });
  }

  /**
   * Retrieve statistics, findings and recommendations for a data set: lengths and tokens, languages, duplicates,
   * contradictions, personal data, and whether the data is suitable for training.
   */
  report(fileId: string, params?: FilesReportParams, options?: RequestOptions): APIPromise<Response> {
    return this.client.getContent(path`/files/${fileId}/report`, { query: params, ...options });
  }

  /** Merge 2 to 20 training files into a new file in the background. The files are not modified. */
  merge(params: T.MergeRequest, options?: RequestOptions): APIPromise<T.MergeObject> {
    return this.client.post("/files/merge", { body: params, repeatable: true, ...options });
  }
}

export interface UploadsPartsCreateParams {
  data: Blob;
}

export class UploadsParts extends APIResource {
  /** Add a part as the field `data` of a multipart form, as the SDKs do, or as raw bytes. */
  create(uploadId: string, params: UploadsPartsCreateParams, options?: RequestOptions): APIPromise<T.UploadPartObject> {
    return this.client.post(path`/uploads/${uploadId}/parts`, { form: params, ...options });
  }

  /**
   * List the received parts, oldest first, with the size and MD5 of each, so that an interrupted client can send
   * the missing parts.
   */
  list(uploadId: string, options?: RequestOptions): PagePromise<T.UploadPartObject> {
    return this.client.getPage(path`/uploads/${uploadId}/parts`, options);
  }
}

export class Uploads extends APIResource {
  readonly parts = new UploadsParts(this.client);

  /**
   * Create an upload for a file that exceeds the limit of `/v1/files`, or for an unreliable connection. A file
   * may have up to 8 GiB, in parts of up to 64 MiB. The upload expires after one hour unless it is completed.
   */
  create(params: T.UploadCreate, options?: RequestOptions): APIPromise<T.UploadObject> {
    return this.client.post("/uploads", { body: params, ...options });
  }

  /** Retrieve an upload's status (`pending`, `completed`, `cancelled` or `expired`) and the resulting file. */
  retrieve(uploadId: string, options?: RequestOptions): APIPromise<T.UploadObject> {
    return this.client.get(path`/uploads/${uploadId}`, options);
  }

  /**
   * Join the parts into a file, in the order of `part_ids`. Their total size must match the declared size, and
   * the result must match `md5` if given. A `fine-tune` file is then checked, as after a single-request upload.
   * Repeating the request with the same parts returns the same result.
   */
  complete(uploadId: string, params: T.UploadComplete, options?: RequestOptions): APIPromise<T.UploadObject> {
    return this.client.post(path`/uploads/${uploadId}/complete`, { body: params, ...options });
  }

  /**
   * Cancel an upload and delete its parts. It then accepts no more parts. A completed upload cannot be canceled;
   * delete its file instead.
   */
  cancel(uploadId: string, options?: RequestOptions): APIPromise<T.UploadObject> {
    return this.client.post(path`/uploads/${uploadId}/cancel`, options);
  }
}

export interface RecognizersListParams extends PageParams {
}

export class Recognizers extends APIResource {
  /** List the project's recognizers, newest first. */
  list(params?: RecognizersListParams, options?: RequestOptions): PagePromise<T.RecognizerObject> {
    return this.client.getPage("/recognizers", { query: params, ...options });
  }

  /** Retrieve a recognizer with its pattern and terms. */
  retrieve(recognizer: string, options?: RequestOptions): APIPromise<T.RecognizerObject> {
    return this.client.get(path`/recognizers/${recognizer}`, options);
  }

  /**
   * Define a kind of personal data of the project, such as its customer numbers or the names of its customers, or
   * replace its definition.
   */
  set(recognizer: string, params: T.SetRecognizer, options?: RequestOptions): APIPromise<T.RecognizerObject> {
    return this.client.put(path`/recognizers/${recognizer}`, { body: params, ...options });
  }

  /** Delete a recognizer. Files that were cleaned with it remain as they are. */
  delete(recognizer: string, options?: RequestOptions): APIPromise<T.RecognizerDeleted> {
    return this.client.delete(path`/recognizers/${recognizer}`, options);
  }
}

export interface ModelsListParams extends PageParams {
}

export class Models extends APIResource {
  /** Import a LoRA adapter that was trained elsewhere, in the background. */
  import(params: T.CreateModelImport, options?: RequestOptions): APIPromise<T.ModelImport> {
    return this.client.post("/models/import", { body: params, repeatable: true, ...options });
  }

  /**
   * List the catalog's base models, the project's aliases, its trained models, and those that other projects
   * share with it, newest first.
   */
  list(params?: ModelsListParams, options?: RequestOptions): PagePromise<T.ModelObject> {
    return this.client.getPage("/models", { query: params, ...options });
  }

  /**
   * Retrieve a base model, a trained model of this project or one that another project shares with it, or an
   * alias (`alias_of` lists its targets).
   */
  retrieve(model: string, options?: RequestOptions): APIPromise<T.ModelObject> {
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

export interface FineTuningJobsCheckpointsListParams extends PageParams {
}

export class FineTuningJobsCheckpoints extends APIResource {
  /**
   * List the checkpoints of a job, newest first, with their metrics. To use a checkpoint in inference requests,
   * pass its `fine_tuned_model_checkpoint` as the model name.
   */
  list(jobId: string, params?: FineTuningJobsCheckpointsListParams, options?: RequestOptions): PagePromise<T.CheckpointObject> {
    return this.client.getPage(path`/fine_tuning/jobs/${jobId}/checkpoints`, { query: params, ...options });
  }
}

export interface FineTuningJobsEvaluationReportParams {
  /** Format of the report: JSON, HTML or Markdown. Default: `json`. */
  format?: "json" | "html" | "md";
}

export class FineTuningJobsEvaluation extends APIResource {
  /** Retrieve the state and the verdict of a job's evaluation. */
  retrieve(jobId: string, options?: RequestOptions): APIPromise<T.JobEvaluationObject> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}/evaluation`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(jobId: string, options?: WaitOptions<T.JobEvaluationObject>): Promise<T.JobEvaluationObject> {
    return waitFor((request) => this.retrieve(jobId, request), options);
  }

  /**
   * Run a completed, skipped or failed evaluation again, for example after the engine was started, or to compare
   * the model with another prompt. Returns 409 if it is in progress.
   */
  restart(jobId: string, params?: T.RestartEvaluation, options?: RequestOptions): APIPromise<T.JobEvaluationObject> {
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
  /** Metadata pairs that a job must all have, such as `metadata[team]=support`. */
  metadata?: Record<string, string>;
}

export interface FineTuningJobsListEventsParams extends PageParams {
}

export class FineTuningJobs extends APIResource {
  readonly checkpoints = new FineTuningJobsCheckpoints(this.client);
  readonly evaluation = new FineTuningJobsEvaluation(this.client);

  /** Create a fine-tuning job. The service validates its files, then queues it for a GPU worker. */
  create(params: T.CreateJob, options?: RequestOptions): APIPromise<T.JobObject> {
    return this.client.post("/fine_tuning/jobs", { body: params, repeatable: true, ...options });
  }

  /**
   * List the project's jobs, newest first. Filter by metadata with `metadata[key]=value`, or use `metadata=null`
   * for jobs without metadata.
   */
  list(params?: FineTuningJobsListParams, options?: RequestOptions): PagePromise<T.JobObject> {
    return this.client.getPage("/fine_tuning/jobs", { query: params, ...options });
  }

  /**
   * Retrieve the current state of a job: its status, hyperparameters, queue position, and the fine-tuned model or
   * the error.
   */
  retrieve(jobId: string, options?: RequestOptions): APIPromise<T.JobObject> {
    return this.client.get(path`/fine_tuning/jobs/${jobId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(jobId: string, options?: WaitOptions<T.JobObject>): Promise<T.JobObject> {
    return waitFor((request) => this.retrieve(jobId, request), options);
  }

  /**
   * Cancel a job permanently. A running trainer stops within seconds. Existing checkpoints are kept. Returns 409
   * if the job has already ended.
   */
  cancel(jobId: string, options?: RequestOptions): APIPromise<T.JobObject> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/cancel`, options);
  }

  /** Pause a queued or running job and keep its progress in a checkpoint. `resume` continues from that checkpoint. */
  pause(jobId: string, options?: RequestOptions): APIPromise<T.JobObject> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/pause`, options);
  }

  /**
   * Resume a paused job: it is queued again and continues from its latest checkpoint. A job that is still pausing
   * also continues, without losing a step. Returns 409 if the job is neither paused nor pausing.
   */
  resume(jobId: string, options?: RequestOptions): APIPromise<T.JobObject> {
    return this.client.post(path`/fine_tuning/jobs/${jobId}/resume`, options);
  }

  /** List the events of a job, newest first: messages and metrics of training steps. */
  listEvents(jobId: string, params?: FineTuningJobsListEventsParams, options?: RequestOptions): PagePromise<T.EventObject> {
    return this.client.getPage(path`/fine_tuning/jobs/${jobId}/events`, { query: params, ...options });
  }

  /**
   * Yield the events as they happen, oldest first, until the last one. A broken connection is resumed after the
   * last event. Leaving the loop closes the connection.
   */
  watch(jobId: string, options?: WatchOptions): AsyncGenerator<T.EventObject, void, undefined> {
    return watchEvents(this.client, path`/fine_tuning/jobs/${jobId}/events`, options);
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

export interface FineTuningSweepsListParams extends PageParams {
}

export class FineTuningSweeps extends APIResource {
  /**
   * Create a sweep: one fine-tuning job, called a trial, for each combination of the values. The trials are
   * compared by their loss on held-out rows, so a sweep needs a `validation_file` or a `validation_share`.
   */
  create(params: T.CreateSweep, options?: RequestOptions): APIPromise<T.SweepObject> {
    return this.client.post("/fine_tuning/sweeps", { body: params, repeatable: true, ...options });
  }

  /** List the project's sweeps, newest first. */
  list(params?: FineTuningSweepsListParams, options?: RequestOptions): PagePromise<T.SweepObject> {
    return this.client.getPage("/fine_tuning/sweeps", { query: params, ...options });
  }

  /** Retrieve the current state of a sweep: its trials with their losses and, once it has ended, the best one. */
  retrieve(sweepId: string, options?: RequestOptions): APIPromise<T.SweepObject> {
    return this.client.get(path`/fine_tuning/sweeps/${sweepId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(sweepId: string, options?: WaitOptions<T.SweepObject>): Promise<T.SweepObject> {
    return waitFor((request) => this.retrieve(sweepId, request), options);
  }

  /**
   * Cancel a sweep and all of its jobs that have not ended. Existing checkpoints and models are kept. Returns 409
   * if the sweep has succeeded or failed.
   */
  cancel(sweepId: string, options?: RequestOptions): APIPromise<T.SweepObject> {
    return this.client.post(path`/fine_tuning/sweeps/${sweepId}/cancel`, options);
  }
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
   * kept.
   */
  create(model: string, params: T.CreatePermissions, options?: RequestOptions): APIPromise<{ data: T.PermissionObject[] }> {
    return this.client.post(path`/fine_tuning/checkpoints/${model}/permissions`, { body: params, ...options });
  }

  /**
   * List the permissions of other projects to use a trained model. Keys with the roles `admin` and `auditor` list
   * those of the models of all projects.
   */
  list(model: string, params?: FineTuningCheckpointsPermissionsListParams, options?: RequestOptions): PagePromise<T.PermissionObject> {
    return this.client.getPage(path`/fine_tuning/checkpoints/${model}/permissions`, { query: params, ...options });
  }

  /**
   * Revoke the permission of a project to use a trained model. Its requests get 404 within seconds. Keys with the
   * role `admin` revoke permissions to use the models of all projects.
   */
  delete(permissionId: string, params: { model: string }, options?: RequestOptions): APIPromise<T.PermissionDeleted> {
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
  readonly sweeps = new FineTuningSweeps(this.client);
  readonly checkpoints = new FineTuningCheckpoints(this.client);

  /** Estimate a job from the request body for creating one, without creating it. */
  estimate(params: T.CreateJob, options?: RequestOptions): APIPromise<T.EstimateObject> {
    return this.client.post("/fine_tuning/estimate", { body: params, ...options });
  }
}

export interface AdviceResourceListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
  /** ID of the training file. */
  training_file_id?: string;
  /** ID of the base model. */
  model?: string;
}

export interface AdviceResourceRetrieveParams {
  /** Longest time to wait for the end of the operation, in seconds. Default: `0`. */
  wait?: number;
}

export class AdviceResource extends APIResource {
  /**
   * Ask whether a training is worth it. A worker then asks the base model the questions of some rows of the file,
   * with and without the best prompt, searches the other rows for their answers, and reads the file's report.
   * This takes about a minute on a CPU.
   */
  create(params: T.CreateAdvice, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.post("/advice", { body: params, repeatable: true, ...options });
  }

  /** List the project's advice, newest first by default. */
  list(params?: AdviceResourceListParams, options?: RequestOptions): PagePromise<T.TrainingAdvice> {
    return this.client.getPage("/advice", { query: params, ...options });
  }

  /**
   * Get an advice: its status, its progress, and its result once it is completed. With `wait`, the response is
   * sent when it ends.
   */
  retrieve(id: string, params?: AdviceResourceRetrieveParams, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.get(path`/advice/${id}`, { query: params, ...options });
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(id: string, options?: WaitOptions<T.TrainingAdvice>): Promise<T.TrainingAdvice> {
    return waitFor((request) => this.retrieve(id, { wait: 30 }, request), options);
  }

  /** Delete an advice and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/advice/${id}`, options);
  }

  /**
   * Cancel an advice. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already ended.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.TrainingAdvice> {
    return this.client.post(path`/advice/${id}/cancel`, options);
  }

  /** List the changes of the status of an advice, oldest first. */
  listEvents(id: string, options?: RequestOptions): PagePromise<T.OperationEvent> {
    return this.client.getPage(path`/advice/${id}/events`, options);
  }

  /**
   * Yield the events as they happen, oldest first, until the last one. A broken connection is resumed after the
   * last event. Leaving the loop closes the connection.
   */
  watch(id: string, options?: WatchOptions): AsyncGenerator<T.OperationEvent, void, undefined> {
    return watchEvents(this.client, path`/advice/${id}/events`, options);
  }
}

export interface ModelExportsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.OperationStatus;
  /** Sort order by creation time. `desc` returns the newest first. Default: `desc`. */
  order?: "asc" | "desc";
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
    return waitFor((request) => this.retrieve(id, { wait: 30 }, request), options);
  }

  /** Delete an export and its result. If it is in progress, it stops. */
  delete(id: string, options?: RequestOptions): APIPromise<T.OperationDeleted> {
    return this.client.delete(path`/model_exports/${id}`, options);
  }

  /**
   * Cancel an export. The status is `cancelling` while its work is still being stopped. Returns 409 if it has
   * already ended.
   */
  cancel(id: string, options?: RequestOptions): APIPromise<T.ModelExport> {
    return this.client.post(path`/model_exports/${id}/cancel`, options);
  }

  /** List the changes of the status of an export, oldest first. */
  listEvents(id: string, options?: RequestOptions): PagePromise<T.OperationEvent> {
    return this.client.getPage(path`/model_exports/${id}/events`, options);
  }

  /**
   * Yield the events as they happen, oldest first, until the last one. A broken connection is resumed after the
   * last event. Leaving the loop closes the connection.
   */
  watch(id: string, options?: WatchOptions): AsyncGenerator<T.OperationEvent, void, undefined> {
    return watchEvents(this.client, path`/model_exports/${id}/events`, options);
  }

  /**
   * Download an export as one uncompressed tar archive. The `etag` is its SHA-256 in hexadecimal digits, and
   * `repr-digest` the same in base64. Returns 409 if the export is not completed.
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
  list(params?: ErasureReceiptsListParams, options?: RequestOptions): PagePromise<T.ErasureReceiptObject> {
    return this.client.getPage("/erasure_receipts", { query: params, ...options });
  }

  /**
   * Retrieve the receipt of a deletion: the objects that were removed from storage with their digests, when, and
   * the key that asked for it, if it did not expire.
   */
  retrieve(receiptId: string, options?: RequestOptions): APIPromise<T.ErasureReceiptObject> {
    return this.client.get(path`/erasure_receipts/${receiptId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(receiptId: string, options?: WaitOptions<T.ErasureReceiptObject>): Promise<T.ErasureReceiptObject> {
    return waitFor((request) => this.retrieve(receiptId, request), options);
  }
}

export class Erasure extends APIResource {
  /**
   * Find the rows of all files and the stored chats of the key's project that match, for example everything about
   * one person, and list the files, the lines and the models trained on them. Poll the erasure until it is
   * `completed`.
   */
  create(params: T.CreateErasure, options?: RequestOptions): APIPromise<T.ErasureObject> {
    return this.client.post("/organization/erasure", { body: params, ...options });
  }

  /** Retrieve the progress of an erasure, the files and models that it found, and what it did. */
  retrieve(erasureId: string, options?: RequestOptions): APIPromise<T.ErasureObject> {
    return this.client.get(path`/organization/erasure/${erasureId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(erasureId: string, options?: WaitOptions<T.ErasureObject>): Promise<T.ErasureObject> {
    return waitFor((request) => this.retrieve(erasureId, request), options);
  }
}

export interface ProjectsApiKeysListParams extends PageParams {
}

export class ProjectsApiKeys extends APIResource {
  /**
   * Create an API key for a project. `value` in the response is the secret. It is shown only once, because the
   * service stores only its digest.
   */
  create(projectId: string, params: T.CreateKey, options?: RequestOptions): APIPromise<T.NewKeyObject> {
    return this.client.post(path`/organization/projects/${projectId}/api_keys`, { body: params, ...options });
  }

  /** List the project's API keys, newest first, without their secrets. */
  list(projectId: string, params?: ProjectsApiKeysListParams, options?: RequestOptions): PagePromise<T.KeyObject> {
    return this.client.getPage(path`/organization/projects/${projectId}/api_keys`, { query: params, ...options });
  }

  /** Retrieve an API key without its secret. */
  retrieve(keyId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.KeyObject> {
    const { project_id } = params;
    return this.client.get(path`/organization/projects/${project_id}/api_keys/${keyId}`, options);
  }

  /**
   * Update a key's name, role, models, expiry, addresses or inference limits, which apply within those of its
   * project. Changes take effect within seconds.
   */
  update(keyId: string, params: { project_id: string } & T.UpdateKey, options?: RequestOptions): APIPromise<T.KeyObject> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/api_keys/${keyId}`, { body: rest, ...options });
  }

  /** Revoke an API key permanently. It stops working everywhere within seconds. */
  delete(keyId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.Deleted> {
    const { project_id } = params;
    return this.client.delete(path`/organization/projects/${project_id}/api_keys/${keyId}`, options);
  }

  /**
   * Give an API key a new secret, which is in `value` and not shown again. The previous secrets stay valid for
   * `overlap_seconds`, but not beyond their own expiry, so that programs can switch to the new one. The key's ID,
   * role, limits and usage stay the same.
   */
  rotate(keyId: string, params: { project_id: string } & T.RotateKey, options?: RequestOptions): APIPromise<T.NewKeyObject> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/api_keys/${keyId}/rotate`, { body: rest, ...options });
  }
}

export class ProjectsServiceAccountsApiKeys extends APIResource {
  /**
   * Create another key of a service account, with the account's role. Its secret is in `value`, shown only once.
   * Change or revoke it like any other key of the project.
   */
  create(serviceAccountId: string, params: { project_id: string } & T.CreateAccountKey, options?: RequestOptions): APIPromise<T.AccountKeyObject> {
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
  create(projectId: string, params: T.CreateServiceAccount, options?: RequestOptions): APIPromise<T.NewServiceAccountObject> {
    return this.client.post(path`/organization/projects/${projectId}/service_accounts`, { body: params, ...options });
  }

  /** List the project's service accounts, newest first. */
  list(projectId: string, params?: ProjectsServiceAccountsListParams, options?: RequestOptions): PagePromise<T.ServiceAccountObject> {
    return this.client.getPage(path`/organization/projects/${projectId}/service_accounts`, { query: params, ...options });
  }

  /** Retrieve a service account. */
  retrieve(serviceAccountId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.ServiceAccountObject> {
    const { project_id } = params;
    return this.client.get(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}`, options);
  }

  /**
   * Change the name or the role of a service account. A new role applies to all of its keys, including those
   * whose role was changed with `updateApiKey`.
   */
  update(serviceAccountId: string, params: { project_id: string } & T.UpdateServiceAccount, options?: RequestOptions): APIPromise<T.ServiceAccountObject> {
    const { project_id, ...rest } = params;
    return this.client.post(path`/organization/projects/${project_id}/service_accounts/${serviceAccountId}`, { body: rest, ...options });
  }

  /** Delete a service account and revoke all of its keys. Everything that they created is kept. */
  delete(serviceAccountId: string, params: { project_id: string }, options?: RequestOptions): APIPromise<T.Deleted> {
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
  create(params: T.CreateProject, options?: RequestOptions): APIPromise<T.ProjectObject> {
    return this.client.post("/organization/projects", { body: params, ...options });
  }

  /** List all projects of this installation, newest first. */
  list(params?: ProjectsListParams, options?: RequestOptions): PagePromise<T.ProjectObject> {
    return this.client.getPage("/organization/projects", { query: params, ...options });
  }

  /** Retrieve a project, the limits set for it and its bytes in storage. */
  retrieve(projectId: string, options?: RequestOptions): APIPromise<T.ProjectObject> {
    return this.client.get(path`/organization/projects/${projectId}`, options);
  }

  /**
   * Update the project's limits, which apply across all of its keys, or the storage of its chats. Changes take
   * effect within seconds. A storage quota below what the project has deletes nothing, and refuses what would
   * need more.
   */
  update(projectId: string, params: T.UpdateProject, options?: RequestOptions): APIPromise<T.ProjectObject> {
    return this.client.post(path`/organization/projects/${projectId}`, { body: params, ...options });
  }

  /**
   * Delete a project with all that it has: jobs, which end, files, uploads, models, aliases, exports, evals,
   * batches, generations, stored chats, webhooks, recognizers and keys. This cannot be undone.
   */
  delete(projectId: string, options?: RequestOptions): APIPromise<T.ProjectObject> {
    return this.client.delete(path`/organization/projects/${projectId}`, options);
  }

  /**
   * Archive a project for good: all of its keys are refused within seconds, and no new keys can be created. Its
   * data is kept, and work in progress continues. Archiving it again changes nothing.
   */
  archive(projectId: string, options?: RequestOptions): APIPromise<T.ProjectObject> {
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
  create(params: T.CreateAdminKey, options?: RequestOptions): APIPromise<T.NewAdminKeyObject> {
    return this.client.post("/organization/admin_api_keys", { body: params, ...options });
  }

  /** List the keys of all projects with the role `admin`, oldest first by default. */
  list(params?: AdminApiKeysListParams, options?: RequestOptions): PagePromise<T.AdminKeyObject> {
    return this.client.getPage("/organization/admin_api_keys", { query: params, ...options });
  }

  /** Retrieve a key with the role `admin`, without its secret. */
  retrieve(keyId: string, options?: RequestOptions): APIPromise<T.AdminKeyObject> {
    return this.client.get(path`/organization/admin_api_keys/${keyId}`, options);
  }

  /** Revoke a key with the role `admin` permanently. It stops working everywhere within seconds. */
  delete(keyId: string, options?: RequestOptions): APIPromise<T.Deleted> {
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
  /** Users to filter by. There are no users. */
  user_ids?: string[];
}

export class Usage extends APIResource {
  /** Retrieve request and token counts by minute (kept for 2 days), hour or day (kept for 400 days), in UTC. */
  completions(params: UsageCompletionsParams, options?: RequestOptions): PagePromise<T.UsageBucket> {
    return this.client.getPage("/organization/usage/completions", { query: params, ...options });
  }
}

export interface AuditLogsListParams extends PageParams {
  /** Whether to return only events of a tenant. There are none. Default: `false`. */
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
  /** Email addresses of users. There are no users. */
  actor_emails?: string[];
}

export class AuditLogs extends APIResource {
  /**
   * List who did what, and from where, newest first: changes, reads of training data, refused keys and
   * permissions. Requests to models are counted by key and minute.
   */
  list(params?: AuditLogsListParams, options?: RequestOptions): PagePromise<T.AuditLogObject> {
    return this.client.getPage("/organization/audit_logs", { query: params, ...options });
  }
}

export class AdminOrganization extends APIResource {
  readonly erasure = new Erasure(this.client);
  readonly projects = new Projects(this.client);
  readonly adminApiKeys = new AdminApiKeys(this.client);
  readonly usage = new Usage(this.client);
  readonly auditLogs = new AuditLogs(this.client);
}

export class Admin extends APIResource {
  readonly organization = new AdminOrganization(this.client);
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
  list(params?: AliasesListParams, options?: RequestOptions): PagePromise<T.AliasObject> {
    return this.client.getPage("/aliases", { query: params, ...options });
  }

  /**
   * Restore the targets from before the last change, effective immediately on every replica. A second rollback
   * undoes the first; send `If-Match` to avoid rolling back twice. The alias's gate is kept and does not apply to
   * a rollback.
   */
  rollback(name: string, options?: RequestOptions): APIPromise<T.AliasObject> {
    return this.client.post(path`/aliases/${name}/rollback`, options);
  }

  /** Retrieve an alias's current targets, and its `etag` for conditional changes. */
  retrieve(name: string, options?: RequestOptions): APIPromise<T.AliasObject> {
    return this.client.get(path`/aliases/${name}`, options);
  }

  /** Point an alias at a model, or split its requests between two models, in one atomic step. */
  set(name: string, params: T.SetAlias, options?: RequestOptions): APIPromise<T.AliasObject> {
    return this.client.put(path`/aliases/${name}`, { body: params, ...options });
  }

  /** Delete an alias and its history. Its target models are kept. */
  delete(name: string, options?: RequestOptions): APIPromise<T.AliasDeleted> {
    return this.client.delete(path`/aliases/${name}`, options);
  }
}

export interface EvalsRunsOutputItemsListParams extends PageParams {
  /** Status to filter by. `failed` is the same as `fail`. */
  status?: "pass" | "fail" | "failed" | "error";
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
}

export class EvalsRunsOutputItems extends APIResource {
  /** List the output items of a run in the order in which they finished, also while the run is in progress. */
  list(runId: string, params: { eval_id: string } & EvalsRunsOutputItemsListParams, options?: RequestOptions): PagePromise<T.OutputItemObject> {
    const { eval_id, ...rest } = params;
    return this.client.getPage(path`/evals/${eval_id}/runs/${runId}/output_items`, { query: rest, ...options });
  }

  /** Retrieve an output item: the item, the prompt, the answer, and each grader's result. */
  retrieve(outputItemId: string, params: { eval_id: string; run_id: string }, options?: RequestOptions): APIPromise<T.OutputItemObject> {
    const { eval_id, run_id } = params;
    return this.client.get(path`/evals/${eval_id}/runs/${run_id}/output_items/${outputItemId}`, options);
  }
}

export interface EvalsRunsListParams extends PageParams {
  /** Status to filter by. */
  status?: T.RunStatus;
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
}

export class EvalsRuns extends APIResource {
  readonly outputItems = new EvalsRunsOutputItems(this.client);

  /** Create a run of an eval. A worker samples an answer to each item and grades it, behind the requests of users. */
  create(evalId: string, params: T.CreateEvalRun, options?: RequestOptions): APIPromise<T.EvalRunObject> {
    return this.client.post(path`/evals/${evalId}/runs`, { body: params, repeatable: true, ...options });
  }

  /**
   * List the runs of an eval, oldest first by default. A page can have fewer runs than `limit` if their requests
   * contain many items.
   */
  list(evalId: string, params?: EvalsRunsListParams, options?: RequestOptions): PagePromise<T.EvalRunObject> {
    return this.client.getPage(path`/evals/${evalId}/runs`, { query: params, ...options });
  }

  /** Retrieve a run: its status, its counters, and when it is expected to end. */
  retrieve(runId: string, params: { eval_id: string }, options?: RequestOptions): APIPromise<T.EvalRunObject> {
    const { eval_id } = params;
    return this.client.get(path`/evals/${eval_id}/runs/${runId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(runId: string, params: { eval_id: string }, options?: WaitOptions<T.EvalRunObject>): Promise<T.EvalRunObject> {
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
  cancel(runId: string, params: { eval_id: string }, options?: RequestOptions): APIPromise<T.EvalRunObject> {
    const { eval_id } = params;
    return this.client.post(path`/evals/${eval_id}/runs/${runId}/cancel`, options);
  }
}

export interface EvalsListParams extends PageParams {
  /** Time to order by. Default: `created_at`. */
  order_by?: "created_at" | "updated_at";
  /** Sort order by time. Default: `asc`. */
  order?: "asc" | "desc";
}

export class Evals extends APIResource {
  readonly runs = new EvalsRuns(this.client);

  /**
   * Create an eval: the schema of its items, and the graders that judge each item. Then create runs of it, for
   * different models and prompts.
   */
  create(params: T.CreateEval, options?: RequestOptions): APIPromise<T.EvalObject> {
    return this.client.post("/evals", { body: params, repeatable: true, ...options });
  }

  /** List the project's evals, oldest first by default. */
  list(params?: EvalsListParams, options?: RequestOptions): PagePromise<T.EvalObject> {
    return this.client.getPage("/evals", { query: params, ...options });
  }

  /** Retrieve an eval with its schema and graders. */
  retrieve(evalId: string, options?: RequestOptions): APIPromise<T.EvalObject> {
    return this.client.get(path`/evals/${evalId}`, options);
  }

  /** Update the name or the metadata of an eval. Its schema and graders never change. */
  update(evalId: string, params?: T.UpdateEval, options?: RequestOptions): APIPromise<T.EvalObject> {
    return this.client.post(path`/evals/${evalId}`, { body: params, ...options });
  }

  /**
   * Delete an eval with all its runs and their output items. Runs in progress stop. `receipt` is the ID of a
   * signed receipt.
   */
  delete(evalId: string, options?: RequestOptions): APIPromise<T.EvalDeleted> {
    return this.client.delete(path`/evals/${evalId}`, options);
  }
}

export interface BatchesListParams extends PageParams {
}

export class Batches extends APIResource {
  /**
   * Create a batch. A worker answers the requests of an uploaded file at the lowest priority, and writes the
   * answers to a file.
   */
  create(params: T.CreateBatch, options?: RequestOptions): APIPromise<T.BatchObject> {
    return this.client.post("/batches", { body: params, repeatable: true, ...options });
  }

  /** List the project's batches, newest first. */
  list(params?: BatchesListParams, options?: RequestOptions): PagePromise<T.BatchObject> {
    return this.client.getPage("/batches", { query: params, ...options });
  }

  /** Retrieve a batch: its status, its counters, and its files once it has ended. */
  retrieve(batchId: string, options?: RequestOptions): APIPromise<T.BatchObject> {
    return this.client.get(path`/batches/${batchId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(batchId: string, options?: WaitOptions<T.BatchObject>): Promise<T.BatchObject> {
    return waitFor((request) => this.retrieve(batchId, request), options);
  }

  /**
   * Cancel a batch. The status is `cancelling` until a worker has written the files, which usually takes seconds,
   * and then `cancelled`. The answers so far are kept. Returns 409 if the batch has ended or is `finalizing`.
   */
  cancel(batchId: string, options?: RequestOptions): APIPromise<T.BatchObject> {
    return this.client.post(path`/batches/${batchId}/cancel`, options);
  }
}

export interface DatasetsGenerationsListParams extends PageParams {
}

export class DatasetsGenerations extends APIResource {
  /** List the project's generations, newest first. */
  list(params?: DatasetsGenerationsListParams, options?: RequestOptions): PagePromise<T.DatasetGeneration> {
    return this.client.getPage("/datasets/generations", { query: params, ...options });
  }

  /** Retrieve a generation: its status, its counters, and its file once it has ended. */
  retrieve(generationId: string, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.get(path`/datasets/generations/${generationId}`, options);
  }

  /** Return the object once it has ended. Check its `status`. */
  wait(generationId: string, options?: WaitOptions<T.DatasetGeneration>): Promise<T.DatasetGeneration> {
    return waitFor((request) => this.retrieve(generationId, request), options);
  }

  /** Delete a generation that has ended. Its file and its documents are kept. Returns 409 if it has not ended. */
  delete(generationId: string, options?: RequestOptions): APIPromise<T.GenerationDeleted> {
    return this.client.delete(path`/datasets/generations/${generationId}`, options);
  }

  /**
   * Cancel a generation. The status is `cancelling` until a worker has written the rows so far to the file, which
   * usually takes seconds, and then `cancelled`. Returns 409 if the generation has ended or is about to.
   */
  cancel(generationId: string, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.post(path`/datasets/generations/${generationId}/cancel`, options);
  }
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
  readonly generations = new DatasetsGenerations(this.client);
  readonly chatCompletions = new DatasetsChatCompletions(this.client);

  /**
   * Generate training rows from documents. A worker cuts them into passages, asks a model of this installation
   * for rows about each at the lowest priority, has each row checked, and writes those that pass to a new file
   * with the purpose `fine-tune`. Nothing leaves the installation.
   */
  generate(params: T.CreateGeneration, options?: RequestOptions): APIPromise<T.DatasetGeneration> {
    return this.client.post("/datasets/generate", { body: params, repeatable: true, ...options });
  }
}

export interface WebhookEndpointsDeliveriesListParams extends PageParams {
}

export class WebhookEndpointsDeliveries extends APIResource {
  /**
   * List the latest attempts to deliver events to an endpoint, newest first. The log keeps 100 attempts and
   * expires 30 days after the last one. Extension of OpenAI's API.
   */
  list(webhookEndpointId: string, params?: WebhookEndpointsDeliveriesListParams, options?: RequestOptions): PagePromise<T.WebhookDeliveryObject> {
    return this.client.getPage(path`/webhook_endpoints/${webhookEndpointId}/deliveries`, { query: params, ...options });
  }
}

export interface WebhookEndpointsListParams extends PageParams {
}

export class WebhookEndpoints extends APIResource {
  readonly deliveries = new WebhookEndpointsDeliveries(this.client);

  /**
   * Register a URL that receives a signed request when a fine-tuning job of the project succeeds, fails or is
   * cancelled. The response contains the signing secret, which is not shown again. A project can have up to 10
   * endpoints.
   */
  create(params: T.CreateWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpointWithSecretObject> {
    return this.client.post("/webhook_endpoints", { body: params, ...options });
  }

  /** List the project's webhook endpoints, newest first, without their secrets. */
  list(params?: WebhookEndpointsListParams, options?: RequestOptions): PagePromise<T.WebhookEndpointObject> {
    return this.client.getPage("/webhook_endpoints", { query: params, ...options });
  }

  /** Retrieve a webhook endpoint without its secret. `status` shows whether it still receives events. */
  retrieve(webhookEndpointId: string, options?: RequestOptions): APIPromise<T.WebhookEndpointObject> {
    return this.client.get(path`/webhook_endpoints/${webhookEndpointId}`, options);
  }

  /**
   * Update the given fields. Pending deliveries go to the new URL. An update with `url` also enables an endpoint
   * that was disabled because it answered 410.
   */
  update(webhookEndpointId: string, params: T.UpdateWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpointObject> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}`, { body: params, ...options });
  }

  /**
   * Delete an endpoint and its delivery log. Pending deliveries are dropped; a request in progress may still
   * arrive.
   */
  delete(webhookEndpointId: string, options?: RequestOptions): APIPromise<T.WebhookEndpointDeleted> {
    return this.client.delete(path`/webhook_endpoints/${webhookEndpointId}`, options);
  }

  /**
   * Replace the signing secret immediately. All later requests, including retries, are signed with the new
   * secret, and for 24 hours also with the old one if you ask for that. The response contains the new secret,
   * which is not shown again.
   */
  rotateSecret(webhookEndpointId: string, params?: T.RotateWebhookEndpointSecret, options?: RequestOptions): APIPromise<T.WebhookEndpointWithSecretObject> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}/rotate_secret`, { body: params, ...options });
  }

  /**
   * Send a signed sample event and wait for the response. The event type need not be one that the endpoint
   * subscribes to. A worker sends the event once, ahead of the endpoint's other events, and the delivery log
   * shows the attempt. The error `webhook_test_failed` means that the endpoint did not respond.
   */
  test(webhookEndpointId: string, params: T.TestWebhookEndpoint, options?: RequestOptions): APIPromise<T.WebhookEndpointTestObject> {
    return this.client.post(path`/webhook_endpoints/${webhookEndpointId}/test`, { body: params, ...options });
  }
}

export class WebhookEventTypes extends APIResource {
  /** List the event types that an endpoint can subscribe to. */
  list(options?: RequestOptions): APIPromise<T.WebhookEventTypesObject> {
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
  list(params?: ChatCompletionsListParams, options?: RequestOptions): PagePromise<T.StoredChatObject> {
    return this.client.getPage("/chat/completions", { query: params, ...options });
  }

  /**
   * Delete all stored chat completions of the project, or those of a model, with their bytes. Training files that
   * were made of them stay.
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
   * with the body `Error`.
   */
  create(params: T.CreateChatCompletion & { stream?: false | null }, options?: RequestOptions): APIPromise<T.ChatCompletion> {
    return this.client.post("/chat/completions", { body: params, ...options });
  }

  /** Retrieve a stored chat completion. It is stored within seconds after its answer. */
  retrieve(completionId: string, options?: RequestOptions): APIPromise<T.StoredChatObject> {
    return this.client.get(path`/chat/completions/${completionId}`, options);
  }

  /** Replace the metadata of a stored chat completion, for example to mark good answers. */
  update(completionId: string, params: T.UpdateStoredChat, options?: RequestOptions): APIPromise<T.StoredChatObject> {
    return this.client.post(path`/chat/completions/${completionId}`, { body: params, ...options });
  }

  /** Delete a stored chat completion with its bytes. */
  delete(completionId: string, options?: RequestOptions): APIPromise<T.StoredChatDeleted> {
    return this.client.delete(path`/chat/completions/${completionId}`, options);
  }
}

export class Chat extends APIResource {
  readonly completions = new ChatCompletions(this.client);
}

export class Completions extends APIResource {
  /**
   * Continues a text without applying a chat template. `model` is the ID of a base model, a trained model or an
   * alias in the project. The service forwards the body to vLLM unchanged. It accepts all parameters in OpenAI's
   * reference and vLLM's sampling parameters, including those not listed here, and answers any other parameter
   * with 400 and the code `unknown_parameter`. Audio, hosted tools and whatever else no engine does are answered
   * with 400 and the code `unsupported_parameter`. If `stream` is true, the response is a stream of server-sent
   * events: one `data:` line of JSON each, then `data: [DONE]`. A failure during the stream is sent as an event
   * with the body `Error`.
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
   * stream is sent as an event with the body `Error`.
   */
  create(params: T.CreateResponse & { stream?: false | null }, options?: RequestOptions): APIPromise<T.Response> {
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
  readonly recognizers = new Recognizers(this);
  readonly models = new Models(this);
  readonly fineTuning = new FineTuning(this);
  readonly advice = new AdviceResource(this);
  readonly modelExports = new ModelExports(this);
  readonly erasureReceipts = new ErasureReceipts(this);
  readonly admin = new Admin(this);
  readonly aliases = new Aliases(this);
  readonly evals = new Evals(this);
  readonly batches = new Batches(this);
  readonly datasets = new Datasets(this);
  readonly webhookEndpoints = new WebhookEndpoints(this);
  readonly webhookEventTypes = new WebhookEventTypes(this);
  readonly chat = new Chat(this);
  readonly completions = new Completions(this);
  readonly responses = new Responses(this);
  readonly embeddings = new EmbeddingsResource(this);

  /**
   * Retrieve the API key that the request was sent with, its project, the limits that apply to both, and how much
   * of them is used.
   */
  whoami(options?: RequestOptions): APIPromise<T.CallerObject> {
    return this.get("/whoami", options);
  }
}
