/** Client of finetuned: the API's resources, with the names of OpenAI's SDK. */

export { Finetuned as default, Finetuned } from "./client.js";
export type { CallOptions, ClientOptions, RequestOptions } from "./core.js";
export * from "./errors.js";
export type { DownloadOptions } from "./exports.js";
export type { AdapterSource, ImportFields, ImportOptions } from "./imports.js";
export { APIPromise, Page, type PageParams, PagePromise, type WithRequestID } from "./promise.js";
export type * from "./resources.js";
export type { Uploadable, UploadSource } from "./source.js";
export type { PatienceOptions, WatchOptions } from "./streams.js";
export type * from "./types.js";
export type { UploadOptions, UploadProgress } from "./uploads.js";
export type { WaitOptions } from "./wait.js";
