/** One connection to the service: its address, its key, and how requests are sent. */

import createHttp, { type Client as HttpClient } from "openapi-fetch";
import { ConnectionError, errorOf, FinetunedError, TimeoutError } from "./errors.js";
import type { paths } from "./generated.js";
import { delayMs, isRepeatable, mayPass, sleep } from "./retry.js";

export interface ClientOptions {
  /** Where the service is, with or without `/v1`. Else the environment's FINETUNED_BASE_URL. */
  baseURL?: string;
  /** Else the environment's FINETUNED_API_KEY. */
  apiKey?: string;
  /** How often a request that may safely be sent again is sent again. 3, if not set. */
  maxRetries?: number;
  /** For an answer to begin. A minute, if not set. */
  timeoutMs?: number;
  /** Another `fetch`, where requests must go through a proxy or an agent. */
  fetch?: typeof fetch;
}

/** A request as `fetch` takes it, with what only the caller knows. */
export interface SendInit extends RequestInit {
  /** Whether sending it twice does no more than once. By its method and headers, if not set. */
  repeatable?: boolean;
  timeoutMs?: number;
}

/** The service, for the functions of this package. */
export class Finetuned {
  /** For OpenAI's SDK: ends in `/v1`. */
  readonly baseURL: string;
  /** Every route, typed by openapi.json. Refusals are thrown as errors; see `unwrap`. */
  readonly http: HttpClient<paths>;

  // Private, so that no log of the object shows it.
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
    this.#fetch = (input, init) => given(input, init); // a browser's fetch wants no other `this`
    this.baseURL = `${this.#origin}/v1`;
    this.http = createHttp<paths>({
      baseUrl: this.#origin,
      fetch: (request) => this.#tried(() => request.clone(), {}),
    });
  }

  /** What OpenAI's SDK needs: `new OpenAI(client.openaiOptions())`. */
  openaiOptions(): { baseURL: string; apiKey: string } {
    return { baseURL: this.baseURL, apiKey: this.#apiKey };
  }

  /**
   * Send one request to a path such as `/v1/files`, again where that is safe.
   *
   * Throws ApiError for every answer that is no success, and ConnectionError where none came.
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
        ? new TimeoutError(`${this.#origin} did not answer within ${timeoutMs / 1000} s.`)
        : this.#unreached(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #unreached(error: unknown): ConnectionError {
    return new ConnectionError(
      `No answer from ${this.#origin} (${reasonOf(error)}). Check baseURL and that the service ` +
        "runs. From a web page, the service's FINETUNED_CORS_ORIGINS must name the page's origin.",
      { cause: error },
    );
  }
}

interface Tries {
  repeatable?: boolean | undefined;
  timeoutMs?: number | undefined;
}

/** POST a body as JSON, where the caller knows whether that may be repeated. */
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

/** The body of a success: `await unwrap(client.http.GET("/v1/models"))`. */
export async function unwrap<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T; // what is no success was thrown
}

/** A key under which a create that is sent twice happens once. */
export function newIdempotencyKey(): string {
  // crypto.randomUUID is there on https alone; a service in the house may be on http.
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
