/** Sends requests: address, API key, timeouts and retries. */

import {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  FinetunedError,
} from "./errors.js";
import { APIPromise, Page, type PageBody, PagePromise } from "./promise.js";
import { backoffMs, codeOf, isNeverSent, isRepeatable, retryDelayMs, sleep } from "./retry.js";

export interface ClientOptions {
  /** Address of the service, with or without `/v1`. Default: FINETUNED_BASE_URL. */
  baseURL?: string | undefined;
  /** API key. Default: the environment variable FINETUNED_API_KEY. */
  apiKey?: string | undefined;
  /** Maximum number of retries of a request. Default: 4. */
  maxRetries?: number | undefined;
  /** Time in milliseconds after which a response must have begun. Default: one minute. */
  timeout?: number | undefined;
  /** Headers of every request. */
  defaultHeaders?: Record<string, string> | undefined;
  /** Custom `fetch`, for example to use a proxy or an agent. */
  fetch?: typeof fetch | undefined;
}

/** Options of one request, which replace those of the client. */
export interface RequestOptions {
  /** Maximum number of retries. */
  maxRetries?: number | undefined;
  /** Time in milliseconds after which the response must have begun. */
  timeout?: number | undefined;
  /** Additional headers. Null removes one that the client sends. */
  headers?: Record<string, string | null | undefined> | undefined;
  /** Aborts the request. */
  signal?: AbortSignal | null | undefined;
  /** Key by which the service recognizes a repeated POST. Default: a new key for each call. */
  idempotencyKey?: string | undefined;
  /** Rejects a change of an object whose `etag` is not this one. Throws PreconditionFailedError. */
  ifMatch?: string | undefined;
  /** `*` rejects a change of an object that exists. Throws PreconditionFailedError. */
  ifNoneMatch?: "*" | undefined;
  /** Whether the request may be sent again although it may have arrived. Default: by its method. */
  repeatable?: boolean | undefined;
}

/** Request options with the query and body, which the methods of resources fill in. */
export interface CallOptions extends RequestOptions {
  query?: object | null | undefined;
  /** Sent as JSON, or as it is if it consists of bytes. */
  body?: unknown;
  /** Fields of a multipart form. */
  form?: object | undefined;
}

/** A request that can be repeated for the next page. */
export interface Route {
  path: string;
  options: CallOptions;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Client that sends requests to paths below `/v1`. Resources call it. */
export class APIClient {
  /** Base URL, ending in `/v1`. */
  readonly baseURL: string;
  readonly maxRetries: number;
  /** Time in milliseconds after which a response must have begun. */
  readonly timeout: number;

  // Private, so that logging the object does not show the key.
  readonly #apiKey: string;
  readonly #options: ClientOptions;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    const address = setting(options.baseURL, "baseURL", "FINETUNED_BASE_URL");
    this.baseURL = `${address.replace(/(?:\/v1)?\/*$/, "")}/v1`;
    this.#apiKey = setting(options.apiKey, "apiKey", "FINETUNED_API_KEY");
    this.maxRetries = options.maxRetries ?? 4;
    this.timeout = options.timeout ?? 60_000;
    const given = options.fetch ?? globalThis.fetch;
    this.#fetch = (input, init) => given(input, init); // a browser's fetch requires its own `this`
    this.#options = options;
  }

  /** Return a client with these options, and otherwise the options of this client. */
  withOptions(options: ClientOptions): this {
    const kind = this.constructor as new (options: ClientOptions) => this;
    const own = { baseURL: this.baseURL, apiKey: this.#apiKey }; // the environment may have changed
    return new kind({ ...this.#options, ...own, ...options });
  }

  /** Return options for OpenAI's SDK: `new OpenAI(client.openaiOptions())`. */
  openaiOptions(): { baseURL: string; apiKey: string; adminAPIKey: string } {
    // Without adminAPIKey, the SDK would send OPENAI_ADMIN_KEY, which is another service's, here.
    return { baseURL: this.baseURL, apiKey: this.#apiKey, adminAPIKey: this.#apiKey };
  }

  /** GET a path below `/v1`, such as `/files`. */
  get<T>(path: string, options?: CallOptions | null): APIPromise<T> {
    return this.#call("GET", path, options);
  }

  /** POST to a path below `/v1`. */
  post<T>(path: string, options?: CallOptions | null): APIPromise<T> {
    return this.#call("POST", path, options);
  }

  /** PUT to a path below `/v1`. */
  put<T>(path: string, options?: CallOptions | null): APIPromise<T> {
    return this.#call("PUT", path, options);
  }

  /** DELETE a path below `/v1`. */
  delete<T>(path: string, options?: CallOptions | null): APIPromise<T> {
    return this.#call("DELETE", path, options);
  }

  /** GET a list at a path below `/v1`. */
  getPage<T>(path: string, options?: CallOptions | null): PagePromise<T> {
    const route = { path, options: options ?? {} };
    return new PagePromise(this.send("GET", path, options), async (response) => {
      const body = await jsonOf<PageBody<T>>(response, options?.signal);
      if (!Array.isArray(body?.data)) throw new APIError("The response is not a list.", response);
      return new Page<T>(this, route, body);
    });
  }

  /** GET a body that is not JSON: the promise is that of the raw response. */
  getContent(path: string, options?: CallOptions | null): APIPromise<Response> {
    return new APIPromise(this.send("GET", path, options), async (response) => response);
  }

  #call<T>(method: Method, path: string, options?: CallOptions | null): APIPromise<T> {
    return new APIPromise<T>(this.send(method, path, options), (response) =>
      jsonOf<T>(response, options?.signal),
    );
  }

  /**
   * Send a request, with retries if they may help, and return the successful response.
   *
   * Throws the error of another response, and APIConnectionError if there is none.
   */
  async send(method: Method, path: string, options?: CallOptions | null): Promise<Response> {
    const { query, maxRetries = this.maxRetries, signal = null, ...call } = options ?? {};
    const url = this.baseURL + path + queryOf(query);
    const { headers, body } = this.#contents(method, call);
    const repeatable = call.repeatable ?? isRepeatable(method, headers);
    for (let tries = 0; ; tries++) {
      let delay: number | null;
      try {
        const request = { method, headers, body };
        const response = await this.#once(url, request, signal, call.timeout ?? this.timeout);
        if (response.ok) return response;
        delay = tries < maxRetries ? retryDelayMs(response, tries, repeatable) : null;
        if (delay === null) throw await APIError.from(response);
        await response.body?.cancel();
      } catch (error) {
        if (!(error instanceof APIConnectionError) || tries >= maxRetries) throw error;
        if (!repeatable && !isNeverSent(error.cause)) throw error;
        delay = backoffMs(tries);
      }
      await sleep(delay, signal);
    }
  }

  #contents(method: Method, call: CallOptions): { headers: Headers; body: BodyInit | null } {
    const headers = new Headers({ ...this.#options.defaultHeaders });
    headers.set("authorization", `Bearer ${this.#apiKey}`);
    if (method === "POST") {
      headers.set("idempotency-key", call.idempotencyKey ?? newIdempotencyKey());
    }
    if (call.ifMatch !== undefined) headers.set("if-match", `"${call.ifMatch}"`);
    if (call.ifNoneMatch !== undefined) headers.set("if-none-match", call.ifNoneMatch);
    let body: BodyInit | null = null;
    if (call.form) {
      body = formOf(call.form);
    } else if (call.body instanceof Uint8Array) {
      headers.set("content-type", "application/octet-stream");
      body = call.body as Uint8Array<ArrayBuffer>;
    } else if (call.body !== undefined && call.body !== null) {
      headers.set("content-type", "application/json");
      body = JSON.stringify(call.body);
    }
    for (const [name, value] of Object.entries(call.headers ?? {})) {
      if (value === null) headers.delete(name);
      else if (value !== undefined) headers.set(name, value);
    }
    return { headers, body };
  }

  async #once(
    url: string,
    request: { method: Method; headers: Headers; body: BodyInit | null },
    signal: AbortSignal | null,
    timeoutMs: number,
  ): Promise<Response> {
    if (signal?.aborted) throw new APIUserAbortError(signal);
    // Not AbortSignal.any, which edge runtimes may lack. The caller's signal aborts the body, too.
    const connection = new AbortController();
    const abort = () => connection.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      connection.abort();
    }, timeoutMs);
    try {
      return await this.#fetch(url, { ...request, signal: connection.signal });
    } catch (error) {
      if (signal?.aborted) throw new APIUserAbortError(signal);
      throw isLate
        ? new APIConnectionTimeoutError(
            `${this.baseURL} did not respond within ${timeoutMs / 1000} s.`,
          )
        : this.#unreached(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #unreached(error: unknown): APIConnectionError {
    const reason = codeOf(error) ?? (error instanceof Error ? error.message : String(error));
    return new APIConnectionError(
      `No response from ${this.baseURL} (${reason}). Check baseURL, and that the service is ` +
        "running. For a web page, FINETUNED_CORS_ORIGINS must include the page's origin.",
      { cause: error },
    );
  }
}

/** Base class of resources: groups of methods that call routes. */
export abstract class APIResource {
  readonly #client: APIClient; // private, so that logging a client shows no circle

  constructor(client: APIClient) {
    this.#client = client;
  }

  protected get client(): APIClient {
    return this.#client;
  }
}

/** Build a path from quoted parts, since names can contain slashes. */
export function path(strings: TemplateStringsArray, ...parts: (string | number)[]): string {
  return strings.reduce((built, text, at) => {
    const part = parts[at - 1];
    if (part === "" || part === undefined) {
      throw new FinetunedError("The id is empty. Pass the id of an object.");
    }
    return built + encodeURIComponent(part) + text;
  });
}

/** Return the body of a response. Throws APIError if it is not JSON, or if it breaks. */
async function jsonOf<T>(response: Response, signal: AbortSignal | null | undefined): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch (cause) {
    if (signal?.aborted) throw new APIUserAbortError(signal);
    if (cause instanceof SyntaxError) {
      throw new APIError("The response is not valid JSON.", response, undefined, { cause });
    }
    throw new APIConnectionError("The response broke.", { cause });
  }
}

/** Return a new idempotency key, so that a repeated create takes effect once. */
function newIdempotencyKey(): string {
  // crypto.randomUUID requires HTTPS, but an internal service may use HTTP.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return the query string: lists repeat their name, and objects use `name[key]`. */
function queryOf(query: object | null | undefined): string {
  const pairs = new URLSearchParams();
  const add = (name: string, value: unknown): void => {
    if (value === undefined || value === null) return;
    if (Array.isArray(value)) for (const one of value) add(name, one);
    else if (typeof value === "object") {
      for (const [key, one] of Object.entries(value)) add(`${name}[${key}]`, one);
    } else pairs.append(name, String(value));
  };
  for (const [name, value] of Object.entries(query ?? {})) add(name, value);
  const text = pairs.toString();
  return text && `?${text}`;
}

function formOf(fields: object): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined || value === null) continue;
    form.append(name, value instanceof Blob ? value : String(value));
  }
  return form;
}

function setting(given: string | undefined, option: string, variable: string): string {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process;
  const value = given ?? env?.env?.[variable];
  if (!value) throw new FinetunedError(`Set the option ${option}, or ${variable}.`);
  return value;
}
