/**
 * The tree of errors.
 *
 *     FinetunedError
 *     ├── ConnectionError      no answer: away, cut off, or refused by the browser
 *     │   └── TimeoutError     no answer in time
 *     ├── UploadError          the file or its upload is not what it was
 *     ├── TaskError            a report or a cleaning that failed in the background
 *     └── ApiError             the service refused
 *         ├── BadRequestError      400
 *         ├── AuthenticationError  401
 *         ├── PermissionError      403
 *         ├── NotFoundError        404
 *         ├── ConflictError        409
 *         ├── TooLargeError        413
 *         ├── RateLimitError       429
 *         └── ServerError          5xx
 *
 * An aborted `signal` rejects with its own reason, as `fetch` does.
 */

/** Everything that this package throws. */
export class FinetunedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** There was no answer. */
export class ConnectionError extends FinetunedError {}

/** There was no answer in time. */
export class TimeoutError extends ConnectionError {}

/** An upload that cannot go on. With an `uploadId` it can be resumed. */
export class UploadError extends FinetunedError {
  readonly uploadId: string | undefined;

  constructor(message: string, options: ErrorOptions & { uploadId?: string } = {}) {
    super(message, options);
    this.uploadId = options.uploadId;
  }
}

/** What ran in the background failed; `code` is the service's. */
export class TaskError extends FinetunedError {
  readonly code: string | null;

  constructor(message: string, code: string | null) {
    super(message);
    this.code = code;
  }
}

/** What the service says of a refusal. */
export interface ApiErrorFields {
  status: number;
  code: string | null;
  type: string | null;
  param: string | null;
  /** For the operator, who finds the request in the log by it. */
  requestId: string | null;
}

/** The service answered, and refused. */
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

/** 400: the message says what is wrong, and where. */
export class BadRequestError extends ApiError {}
/** 401: no API key, or one that is not known. */
export class AuthenticationError extends ApiError {}
/** 403: the key's role does not allow this. */
export class PermissionError extends ApiError {}
/** 404: the key's project has no such object. */
export class NotFoundError extends ApiError {}
/** 409: the object's state does not allow this. */
export class ConflictError extends ApiError {}
/** 413: over a limit of size. */
export class TooLargeError extends ApiError {}
/** 429: over a limit of the key or the project. */
export class RateLimitError extends ApiError {}
/** 5xx: a fault of the service, or a part of it is away. */
export class ServerError extends ApiError {}

const BY_STATUS: Record<number, typeof ApiError> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionError,
  404: NotFoundError,
  409: ConflictError,
  413: TooLargeError,
  429: RateLimitError,
};

/** What to do next, where the service's own message need not say it. */
const NEXT: Record<number, string> = {
  401: "Check apiKey: a key is made with `finetuned-server keys create`.",
  403: "Use a key with another role.",
  404: "Check the id, and that the key is of the project that has it.",
  429: "Wait, send less at a time, or have the limit raised.",
  500: "Give the request id to the operator.",
  502: "Try again in a minute; if it stays, give the request id to the operator.",
  503: "Try again in a minute; if it stays, give the request id to the operator.",
};

/** The error of an answer that is no success. */
export async function errorOf(response: Response): Promise<ApiError> {
  const told = await wireError(response);
  const requestId = response.headers.get("x-request-id");
  const message = [
    `${response.status} ${told.message ?? (response.statusText || "without a message")}`,
    NEXT[response.status],
    requestId && `(request ${requestId})`,
  ];
  const fallback = response.status >= 500 ? ServerError : ApiError;
  return new (BY_STATUS[response.status] ?? fallback)(message.filter(Boolean).join(" "), {
    status: response.status,
    code: told.code ?? null,
    type: told.type ?? null,
    param: told.param ?? null,
    requestId,
  });
}

type WireError = Partial<Record<"message" | "code" | "type" | "param", string | null>>;

/** A proxy between may answer with a page of its own, so that nothing is sure of a body. */
async function wireError(response: Response): Promise<WireError> {
  try {
    const body: unknown = await response.json();
    const error = (body as { error?: unknown } | null)?.error;
    return typeof error === "object" && error !== null ? (error as WireError) : {};
  } catch {
    return {};
  }
}
