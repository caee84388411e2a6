/** API client: the service's address, the API key, and how requests are sent. */

import createHttp, { type Client as HttpClient } from "openapi-fetch";
import { ConnectionError, errorOf, FinetunedError, TimeoutError } from "./errors.js";
import type { paths } from "./generated.js";
import { delayMs, isRepeatable, mayPass, sleep } from "./retry.js";

export interface ClientOptions {
  /** Address of the service, with or without `/v1`. Default: FINETUNED_BASE_URL. */
  baseURL?: string;
  /** API key. Default: the environment variable FINETUNED_API_KEY. */
  apiKey?: string;
  /** Maximum number of retries of a request that is safe to repeat. Default: 3. */
  maxRetries?: number;
  /** Timeout for a response to begin. Default: one minute. */
  timeoutMs?: number;
  /** Custom `fetch`, for example to use a proxy or an agent. */
  fetch?: typeof fetch;
}

/** Options of `fetch`, plus whether the request is repeatable and its timeout. */
export interface SendInit extends RequestInit {
  /** Whether the request is idempotent. Default: decided by its method and headers. */
  repeatable?: boolean;
  timeoutMs?: number;
}

/** Client for the service, passed to all functions of this package. */
export class Finetuned {
  /** Base URL for OpenAI's SDK, ending in `/v1`. */
  readonly baseURL: string;
  /** Typed access to every route in openapi.json. Error responses are thrown; see `unwrap`. */
  readonly http: HttpClient<paths>;

  // Private, so that logging the object does not show the key.
  readonly #apiKey: string;
  readonly #origin: string;
  readonly #maxRetries: number;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions = {}) {
    this.#origin = setting(options.baseURL, "baseURL", "FINETUNED_BASE_URL").replace(
      /(?:\/v1)?\/*$/,
      "",
    );
    this.#apiKey = setting(options.apiKey, "apiKey", "FINETUNED_API_KEY");
    this.#maxRetries = options.maxRetries ?? 3;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    const given = options.fetch ?? globalThis.fetch;
    this.#fetch = (input, init) => given(input, init); // a browser's fetch requires its own `this`
    this.baseURL = `${this.#origin}/v1`;
    this.http = createHttp<paths>({
      baseUrl: this.#origin,
      fetch: (request) => this.#tried(() => request.clone(), {}),
    });
  }

  /** Return options for OpenAI's SDK: `new OpenAI(client.openaiOptions())`. */
  openaiOptions(): { baseURL: string; apiKey: string; adminAPIKey: string } {
    // Without adminAPIKey, the SDK would send OPENAI_ADMIN_KEY, which is another service's, here.
    return { baseURL: this.baseURL, apiKey: this.#apiKey, adminAPIKey: this.#apiKey };
  }

  /**
   * Send a request to a path such as `/v1/files`, with retries if that is safe.
   *
   * Throws ApiError for an error response, and ConnectionError if there is no response.
   */
  send(path: string, init: SendInit = {}): Promise<Response> {
    const { repeatable, timeoutMs, ...rest } = init;
    const options = { repeatable, timeoutMs };
    return this.#tried(() => new Request(this.#origin + path, rest), options);
  }

  async #tried(make: () => Request, options: Tries): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      const request = make();
      const repeatable = options.repeatable ?? isRepeatable(request.method, request.headers);
      const last = attempt >= this.#maxRetries;
      let wait: number | null;
      try {
        const response = await this.#once(request, options.timeoutMs ?? this.#timeoutMs);
        if (response.ok) return response;
        wait = !last && mayPass(response, repeatable) ? delayMs(attempt, response) : null;
        if (wait === null) throw await errorOf(response);
        await response.body?.cancel();
      } catch (error) {
        if (!(error instanceof ConnectionError) || last || !repeatable) throw error;
        wait = delayMs(attempt);
      }
      await sleep(wait ?? 0, request.signal);
    }
  }

  async #once(request: Request, timeoutMs: number): Promise<Response> {
    request.headers.set("authorization", `Bearer ${this.#apiKey}`);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    try {
      return await this.#fetch(request, { signal: AbortSignal.any([request.signal, late.signal]) });
    } catch (error) {
      request.signal.throwIfAborted();
      throw late.signal.aborted
        ? new TimeoutError(`${this.#origin} did not respond within ${timeoutMs / 1000} s.`)
        : this.#unreached(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #unreached(error: unknown): ConnectionError {
    return new ConnectionError(
      `No response from ${this.#origin} (${reasonOf(error)}). Check baseURL, and that the service ` +
        "is running. For a web page, FINETUNED_CORS_ORIGINS must include the page's origin.",
      { cause: error },
    );
  }
}

interface Tries {
  repeatable?: boolean | undefined;
  timeoutMs?: number | undefined;
}

/** POST a JSON body. The caller specifies whether the request is repeatable. */
export async function postJson<T>(
  client: Finetuned,
  path: string,
  body: unknown,
  { headers, ...init }: SendInit & { headers?: Record<string, string> },
): Promise<T> {
  const response = await client.send(path, {
    ...init,
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return (await response.json()) as T;
}

/** Return the body of a successful response: `await unwrap(client.http.GET("/v1/models"))`. */
export async function unwrap<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T; // error responses have already been thrown
}

/** Return a new idempotency key, so that a repeated create takes effect once. */
export function newIdempotencyKey(): string {
  // crypto.randomUUID requires HTTPS, but an internal service may use HTTP.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function setting(given: string | undefined, option: string, variable: string): string {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process;
  const value = given ?? env?.env?.[variable];
  if (!value) throw new FinetunedError(`Set the option ${option}, or ${variable}.`);
  return value;
}

function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown } | null)?.cause;
  const code = (cause as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : error instanceof Error ? error.message : String(error);
}
