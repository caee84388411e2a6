/** finetuned's additions to the OpenAI API. Use OpenAI's own SDK for the standard parts. */

export {
  type AdminOptions,
  createKey,
  createProject,
  deleteProject,
  getProject,
  limitProject,
  type RotateOptions,
  rotateKey,
  updateKey,
  whoami,
} from "./admin.js";
export { type AdviseOptions, advise, deleteAdvice, getAdvice } from "./advice.js";
export {
  type AliasOptions,
  type AliasTarget,
  aliasHistory,
  deleteAlias,
  getAlias,
  listAliases,
  rollbackAlias,
  type SetAliasOptions,
  setAlias,
} from "./aliases.js";
export { createStoredChatFile, deleteStoredChats } from "./chats.js";
export { type ClientOptions, Finetuned, type SendInit, unwrap } from "./client.js";
export {
  clean,
  diff,
  diffRows,
  merge,
  type PreviewOptions,
  preview,
  report,
  rows,
  type WaitOptions,
} from "./datasets.js";
export {
  createErasure,
  type ErasureOptions,
  getErasure,
  getErasureReceipt,
  type ListReceiptsOptions,
  listErasureReceipts,
  waitForErasure,
} from "./erasures.js";
export * from "./errors.js";
export {
  type EvaluationOptions,
  evaluateAgain,
  evaluationReport,
  waitForEvaluation,
} from "./evaluations.js";
export {
  type CreateExportOptions,
  cancelExport,
  createExport,
  type DownloadOptions,
  deleteExport,
  exportContent,
  getExport,
  listExports,
  type WaitForExportOptions,
  waitForExport,
} from "./exports.js";
export type { components, operations, paths } from "./generated.js";
export {
  cancelGeneration,
  deleteGeneration,
  type GenerateOptions,
  generate,
  getGeneration,
  listGenerations,
  type WaitForGenerationOptions,
  waitForGeneration,
} from "./generations.js";
export {
  type AdapterSource,
  getImport,
  type ImportFields,
  type ImportOptions,
  importModel,
  listImports,
} from "./imports.js";
export {
  type CreateJobOptions,
  createJob,
  estimate,
  type WatchOptions,
  watchJob,
} from "./jobs.js";
export {
  deleteRecognizer,
  getRecognizer,
  listRecognizers,
  setRecognizer,
} from "./recognizers.js";
export type { Uploadable, UploadSource } from "./source.js";
export {
  type CreateSweepOptions,
  cancelSweep,
  createSweep,
  getSweep,
  listSweeps,
  type WaitForSweepOptions,
  waitForSweep,
} from "./sweeps.js";
export type * from "./types.js";
export { type UploadOptions, type UploadProgress, upload } from "./uploads.js";
