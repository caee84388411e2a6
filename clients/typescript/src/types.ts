/** Named API types, all derived from openapi.json. */

import type { components, operations } from "./generated.js";

type Schemas = components["schemas"];

export type FileObject = Schemas["FileObject"];
export type FormatFields = Schemas["FormatFields"];
export type UploadObject = Schemas["UploadObject"];
export type UploadPartObject = Schemas["UploadPartObject"];
export type FilePreview = Schemas["FilePreview"];
export type FileReport = Schemas["FileReport"];
export type CleanRequest = Schemas["CleanRequest"];
export type CleaningObject = Schemas["CleaningObject"];
export type FileDiff = Schemas["FileDiff"];
export type MergeRequest = Schemas["MergeRequest"];
export type MergeObject = Schemas["MergeObject"];
export type CreateJob = Schemas["CreateJob"];
export type JobObject = Schemas["JobObject"];
export type JobEvent = Schemas["EventObject"];
export type JobEvaluationObject = Schemas["JobEvaluationObject"];
export type CreateAdvice = Schemas["CreateAdvice"];
export type AdviceObject = Schemas["AdviceObject"];
export type CreateSweep = Schemas["CreateSweep"];
export type SweepObject = Schemas["SweepObject"];
export type EstimateObject = Schemas["EstimateObject"];
export type SetRecognizer = Schemas["SetRecognizer"];
export type RecognizerObject = Schemas["RecognizerObject"];
export type SetAlias = Schemas["SetAlias"];
export type AliasObject = Schemas["AliasObject"];
export type AliasChange = Schemas["AliasChange"];
export type CreateExport = Schemas["CreateExport"];
export type ExportObject = Schemas["ExportObject"];
export type CreateStoredChatFile = Partial<Schemas["CreateStoredChatFile"]>;
export type CreateGeneration = Schemas["CreateGeneration"];
export type DatasetGeneration = Schemas["DatasetGeneration"];
export type CreateModelImport = Schemas["CreateModelImport"];
export type ModelImport = Schemas["ModelImport"];
export type CallerObject = Schemas["CallerObject"];
export type CreateKey = Schemas["CreateKey"];
export type UpdateKey = Schemas["UpdateKey"];
export type KeyObject = Schemas["KeyObject"];
export type NewKeyObject = Schemas["NewKeyObject"];
export type CreateProject = Schemas["CreateProject"];
export type ProjectLimits = Schemas["ProjectLimits"];
export type ProjectObject = Schemas["ProjectObject"];
export type CreateErasure = Schemas["CreateErasure"];
export type ErasureObject = Schemas["ErasureObject"];
export type ErasureReceiptObject = Schemas["ErasureReceiptObject"];

/** Options of a report request. */
export type ReportQuery = Pick<
  NonNullable<operations["retrieveFileReport"]["parameters"]["query"]>,
  "model" | "validation_file"
>;

export type RowObject = Schemas["RowObject"];
export type RowPage = Schemas["ListOf_RowObject_"];

export type DiffRowObject = Schemas["DiffRowObject"];
export type DiffRowPage = Schemas["ListOf_DiffRowObject_"];

/** Kind of rows that differ, and the position after which to start. */
export type DiffRowQuery = Omit<
  NonNullable<operations["listFileDiffRows"]["parameters"]["query"]>,
  "other_file"
>;

/** Filters and order of rows, and the line after whose row to start. */
export type RowQuery = NonNullable<operations["listFileRows"]["parameters"]["query"]>;
