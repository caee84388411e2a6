/** Promises of responses, which also give the raw response, and pages of lists. */

import type { APIClient, Route } from "./core.js";
import { FinetunedError } from "./errors.js";

/** Adds the id of the request, which the operator finds in the logs. It is not enumerable. */
export type WithRequestID<T> = T extends object ? T & { _request_id?: string | null } : T;

/** Object that a method of a resource returns. Its name in openapi.json need not be known. */
// biome-ignore lint/suspicious/noExplicitAny: of any parameters
export type ReturnedBy<M extends (...params: any) => APIPromise<unknown>> =
  ReturnType<M> extends APIPromise<infer T> ? T : never;

/** Promise of the parsed body of a response. */
export class APIPromise<T> extends Promise<WithRequestID<T>> {
  readonly #response: Promise<Response>;
  readonly #parse: (response: Response) => Promise<T>;
  #parsed: Promise<WithRequestID<T>> | undefined;

  constructor(response: Promise<Response>, parse: (response: Response) => Promise<T>) {
    super((resolve) => resolve(null as never)); // never read: `then` is that of the parsed body
    this.#response = response;
    this.#parse = parse;
  }

  /** Return the raw response, whose body is not read yet. */
  asResponse(): Promise<Response> {
    return this.#response;
  }

  /** Return the parsed body, the raw response and the id of the request. */
  async withResponse(): Promise<{
    data: WithRequestID<T>;
    response: Response;
    request_id: string | null;
  }> {
    const [data, response] = await Promise.all([this.#body(), this.#response]);
    return { data, response, request_id: response.headers.get("x-request-id") };
  }

  #body(): Promise<WithRequestID<T>> {
    this.#parsed ??= this.#response.then(async (response) => {
      return withRequestID(await this.#parse(response), response);
    });
    return this.#parsed;
  }

  // biome-ignore lint/suspicious/noThenProperty: the body is parsed only if it is awaited
  override then<A = WithRequestID<T>, B = never>(
    onfulfilled?: ((value: WithRequestID<T>) => A | PromiseLike<A>) | null,
    // biome-ignore lint/suspicious/noExplicitAny: as in Promise
    onrejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#body().then(onfulfilled, onrejected);
  }

  override catch<B = never>(
    // biome-ignore lint/suspicious/noExplicitAny: as in Promise
    onrejected?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<WithRequestID<T> | B> {
    return this.#body().catch(onrejected);
  }

  override finally(onfinally?: (() => void) | null): Promise<WithRequestID<T>> {
    return this.#body().finally(onfinally);
  }
}

/** Promise of the first page of a list. Iterating over it yields the objects of all pages. */
export class PagePromise<T> extends APIPromise<Page<T>> implements AsyncIterable<T> {
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    yield* await this;
  }
}

/** Parameters of lists. */
export interface PageParams {
  /** Cursor for pagination: the `last_id` of the previous page. */
  after?: string;
  /** Maximum number of objects per page. Iterating over a list yields those of all pages. */
  limit?: number;
}

export interface PageBody<T> {
  data: T[];
  has_more?: boolean;
  first_id?: string | null;
  last_id?: string | null;
  /** Cursor of the next page in lists of buckets, which have no ids. */
  next_page?: string | null;
  counts?: PageCounts | null;
}

/** Number of all objects that match the filters of a list, and by status. */
export interface PageCounts {
  total: number;
  by_status: Record<string, number>;
}

/** Page of a list. Iterating over it yields its objects and those of all later pages. */
export class Page<T> implements AsyncIterable<T> {
  readonly data: T[];
  readonly has_more: boolean;
  readonly first_id: string | null;
  readonly last_id: string | null;
  /** Number of objects that match; null unless the request includes `counts`. */
  readonly counts: PageCounts | null;
  readonly #next: Route | null;
  readonly #client: APIClient;

  constructor(client: APIClient, route: Route, body: PageBody<T>) {
    this.data = body.data;
    this.has_more = body.has_more ?? false;
    const { id } = (body.data.at(-1) ?? {}) as { id?: string };
    this.first_id = body.first_id ?? null;
    this.last_id = body.last_id ?? id ?? null;
    this.counts = body.counts ?? null;
    const cursor = body.next_page ? { page: body.next_page } : { after: this.last_id };
    const query = { ...route.options.query, ...cursor };
    this.#client = client;
    this.#next = this.has_more ? { ...route, options: { ...route.options, query } } : null;
  }

  /** Return whether another page follows. */
  hasNextPage(): boolean {
    return this.#next !== null && this.data.length > 0;
  }

  /** Return the next page. Throws FinetunedError if none follows; see `hasNextPage`. */
  async getNextPage(): Promise<Page<T>> {
    if (!this.#next || !this.hasNextPage()) {
      throw new FinetunedError("No page follows. Check hasNextPage() first.");
    }
    return await this.#client.getPage<T>(this.#next.path, this.#next.options);
  }

  /** Iterate over this page and all later ones. */
  async *iterPages(): AsyncGenerator<Page<T>, void, undefined> {
    yield this;
    for (let page: Page<T> = this; page.hasNextPage(); ) {
      page = await page.getNextPage();
      yield page;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.iterPages()) yield* page.data;
  }
}

function withRequestID<T>(value: T, response: Response): WithRequestID<T> {
  if (typeof value === "object" && value !== null && !(value instanceof Response)) {
    const id = response.headers.get("x-request-id");
    Object.defineProperty(value, "_request_id", { value: id, enumerable: false });
  }
  return value as WithRequestID<T>;
}
