/**
 * Error hierarchy of the client.
 *
 *     FinetunedError
 *     ├── ConnectionError      no response: unreachable, interrupted, or blocked by the browser
 *     │   └── TimeoutError     no response in time
 *     ├── UploadError          the file or its upload changed
 *     ├── DownloadError        the downloaded bytes are not those of the service
 *     ├── TaskError            a report, a cleaning, a merge or an import failed in the background
 *     └── ApiError             the service returned an error
 *         ├── BadRequestError      400
 *         ├── AuthenticationError  401
 *         ├── PermissionError      403
 *         ├── NotFoundError        404
 *         ├── ConflictError        409, 412
 *         ├── TooLargeError        413
 *         ├── RateLimitError       429
 *         └── ServerError          5xx
 *
 * An aborted `signal` rejects with its own reason, as `fetch` does.
 */

/** Base class of all errors thrown by this package. */
export class FinetunedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Thrown when there is no response. */
export class ConnectionError extends FinetunedError {}

/** Thrown when there is no response in time. */
export class TimeoutError extends ConnectionError {}

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

/** Thrown when a background task fails; `code` comes from the service. */
export class TaskError extends FinetunedError {
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

/** Error details returned by the service. */
export interface ApiErrorFields {
  status: number;
  code: string | null;
  type: string | null;
  param: string | null;
  /** Request id, by which the operator finds the request in the logs. */
  requestId: string | null;
}

/** Thrown when the service returns an error response. */
export class ApiError extends FinetunedError implements ApiErrorFields {
  readonly status: number;
  readonly code: string | null;
  readonly type: string | null;
  readonly param: string | null;
  readonly requestId: string | null;

  constructor(message: string, fields: ApiErrorFields) {
    super(message);
    this.status = fields.status;
    this.code = fields.code;
    this.type = fields.type;
    this.param = fields.param;
    this.requestId = fields.requestId;
  }
}

/** 400: the request is invalid; the message says what is wrong and where. */
export class BadRequestError extends ApiError {}
/** 401: the API key is missing or unknown. */
export class AuthenticationError extends ApiError {}
/** 403: the key's role does not allow this. */
export class PermissionError extends ApiError {}
/** 404: the key's project has no such object. */
export class NotFoundError extends ApiError {}
/** 409: the object's state does not allow this. 412: it has changed since `etag`. */
export class ConflictError extends ApiError {}
/** 413: a size limit is exceeded. */
export class TooLargeError extends ApiError {}
/** 429: a key or project limit is exceeded. */
export class RateLimitError extends ApiError {}
/** 5xx: the service failed, or one of its components is unavailable. */
export class ServerError extends ApiError {}

const BY_STATUS: Record<number, typeof ApiError> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionError,
  404: NotFoundError,
  409: ConflictError,
  412: ConflictError,
  413: TooLargeError,
  429: RateLimitError,
};

/** Return the next step, for errors whose message does not include it. */
const NEXT: Record<number, string> = {
  401: "Check apiKey. Create a key with `finetuned-server keys create`.",
  403: "Use a key with another role.",
  404: "Check the id, and that the API key belongs to the object's project.",
  429: "Wait, send fewer requests at a time, or ask the operator to raise the limit.",
  500: "Send the request id to the operator.",
  502: "Try again in a minute. If the error persists, send the request id to the operator.",
  503: "Try again in a minute. If the error persists, send the request id to the operator.",
};

/** Return the error for an unsuccessful response. */
export async function errorOf(response: Response): Promise<ApiError> {
  const body = await wireError(response);
  const requestId = response.headers.get("x-request-id");
  const message = [
    `${response.status} ${body.message ?? (response.statusText || "without a message")}`,
    NEXT[response.status],
    requestId && `(request ${requestId})`,
  ];
  const fallback = response.status >= 500 ? ServerError : ApiError;
  return new (BY_STATUS[response.status] ?? fallback)(message.filter(Boolean).join(" "), {
    status: response.status,
    code: body.code ?? null,
    type: body.type ?? null,
    param: body.param ?? null,
    requestId,
  });
}

type WireError = Partial<Record<"message" | "code" | "type" | "param", string | null>>;

/** Parse an error body defensively: a proxy may have replaced it with its own page. */
async function wireError(response: Response): Promise<WireError> {
  try {
    const body: unknown = await response.json();
    const error = (body as { error?: unknown } | null)?.error;
    return typeof error === "object" && error !== null ? (error as WireError) : {};
  } catch {
    return {};
  }
}
