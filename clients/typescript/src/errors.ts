/**
 * Errors, with the names that they have in OpenAI's SDK.
 *
 *     FinetunedError
 *     ├── UploadError                         the file or its upload changed
 *     ├── DownloadError                       the downloaded bytes are not those of the service
 *     ├── OperationFailedError                      an import failed in the background
 *     └── APIError
 *         ├── APIConnectionError              no response: unreachable, interrupted, or CORS
 *         │   └── APIConnectionTimeoutError   no response in time
 *         ├── APIUserAbortError               the `signal` was aborted; its reason is the `cause`
 *         ├── BadRequestError           400
 *         ├── AuthenticationError       401
 *         ├── PermissionDeniedError     403
 *         ├── NotFoundError             404
 *         ├── ConflictError             409
 *         │   └── PreconditionFailedError     412
 *         ├── ContentTooLargeError      413
 *         ├── UnprocessableEntityError  422
 *         ├── RateLimitError            429
 *         └── InternalServerError       5xx
 */

/** Base class of all errors thrown by this package. */
export class FinetunedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Thrown when an upload cannot continue. If `uploadId` is set, it can be resumed. */
export class UploadError extends FinetunedError {
  readonly uploadId: string | undefined;

  constructor(message: string, options: ErrorOptions & { uploadId?: string } = {}) {
    super(message, options);
    this.uploadId = options.uploadId;
  }
}

/** Thrown when the downloaded bytes are not those of the service. */
export class DownloadError extends FinetunedError {}

/** Thrown when an operation that a method waits for fails; `code` comes from the service. */
export class OperationFailedError extends FinetunedError {
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

/** The `error` of an error response. */
export interface ErrorBody {
  message?: string | null;
  code?: string | null;
  type?: string | null;
  param?: string | null;
}

/** Thrown when a request fails. The fields are undefined if there was no response. */
export class APIError extends FinetunedError {
  /** HTTP status. */
  readonly status: number | undefined;
  /** Headers of the response. */
  readonly headers: Headers | undefined;
  /** The `error` object in the body of the response. */
  readonly error: ErrorBody | undefined;
  readonly code: string | null | undefined;
  readonly param: string | null | undefined;
  readonly type: string | undefined;
  /** Request id, by which the operator finds the request in the logs. */
  readonly requestID: string | null | undefined;

  constructor(message: string, response?: Response, error?: ErrorBody, options?: ErrorOptions) {
    super(message, options);
    this.status = response?.status;
    this.headers = response?.headers;
    this.error = error;
    this.code = error?.code;
    this.param = error?.param;
    this.type = error?.type ?? undefined;
    this.requestID = response?.headers.get("x-request-id");
  }

  /** Return the error for an unsuccessful response. */
  static async from(response: Response): Promise<APIError> {
    const error = await errorIn(response);
    const requestId = response.headers.get("x-request-id");
    const message = [
      `${response.status} ${error.message ?? (response.statusText || "without a message")}`,
      NEXT_STEP[response.status],
      requestId && `(request ${requestId})`,
    ];
    const fallback = response.status >= 500 ? InternalServerError : APIError;
    const kind = BY_STATUS[response.status] ?? fallback;
    return new kind(message.filter(Boolean).join(" "), response, error);
  }
}

/** Thrown when there is no response. */
export class APIConnectionError extends APIError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, undefined, undefined, options);
  }
}

/** Thrown when there is no response in time. */
export class APIConnectionTimeoutError extends APIConnectionError {}

/** Thrown when the caller aborts the `signal`. `cause` is the signal's reason. */
export class APIUserAbortError extends APIError {
  constructor(signal?: AbortSignal | null) {
    super("The request was aborted.", undefined, undefined, { cause: signal?.reason });
  }
}

/** 400: the request is invalid; the message says what is wrong and where. */
export class BadRequestError extends APIError {}
/** 401: the API key is missing or unknown. */
export class AuthenticationError extends APIError {}
/** 403: the key's role does not allow this. */
export class PermissionDeniedError extends APIError {}
/** 404: the key's project has no such object. */
export class NotFoundError extends APIError {}
/** 409: the object's state does not allow this. */
export class ConflictError extends APIError {}
/** 412: the object has changed since its `etag` was read. */
export class PreconditionFailedError extends ConflictError {}
/** 413: a size limit is exceeded. */
export class ContentTooLargeError extends APIError {}
/** 422: the request is understood but cannot be processed. */
export class UnprocessableEntityError extends APIError {}
/** 429: a key or project limit is exceeded. */
export class RateLimitError extends APIError {}
/** 5xx: the service failed, or one of its components is unavailable. */
export class InternalServerError extends APIError {}

const BY_STATUS: Record<number, typeof APIError> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  412: PreconditionFailedError,
  413: ContentTooLargeError,
  422: UnprocessableEntityError,
  429: RateLimitError,
};

/** Next steps, for errors whose message does not include one. */
const NEXT_STEP: Record<number, string> = {
  401: "Check apiKey. Create a key with `finetuned-server keys create`.",
  403: "Use a key with another role.",
  404: "Check the id, and that the API key belongs to the object's project.",
  429: "Wait, send fewer requests at a time, or ask the operator to raise the limit.",
  500: "Send the request id to the operator.",
  502: "Try again in a minute. If the error persists, send the request id to the operator.",
  503: "Try again in a minute. If the error persists, send the request id to the operator.",
};

/** Parse an error body defensively: a proxy may have replaced it with its own page. */
async function errorIn(response: Response): Promise<ErrorBody> {
  try {
    const body: unknown = await response.json();
    const error = (body as { error?: unknown } | null)?.error;
    return typeof error === "object" && error !== null ? error : {};
  } catch {
    return {};
  }
}
