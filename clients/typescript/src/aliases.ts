/** Aliases: names of a project's own for models, with splits and a way back. */

import { type Finetuned, unwrap } from "./client.js";
import type { AliasChange, AliasObject } from "./types.js";

/** A model, or two of them with whole percents that sum to 100. */
export type AliasTarget = string | { model: string; weight: number }[];

export interface AliasOptions {
  /** What the alias must be to be changed: ConflictError where it was changed meanwhile. */
  etag?: string;
  signal?: AbortSignal;
}

/** Point a name at a model, or split its requests. `isNew` refuses a name that exists. */
export function setAlias(
  client: Finetuned,
  name: string,
  target: AliasTarget,
  options: AliasOptions & { isNew?: boolean } = {},
): Promise<AliasObject> {
  const header = options.isNew ? { "if-none-match": "*" } : ifMatch(options.etag);
  return unwrap(
    client.http.PUT("/v1/aliases/{name}", {
      params: { path: { name }, header },
      body: typeof target === "string" ? { model: target } : { targets: target },
      signal: options.signal ?? null,
    }),
  );
}

/** One alias, with the etag that a careful change sends. */
export function getAlias(
  client: Finetuned,
  name: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<AliasObject> {
  const params = { path: { name } };
  return unwrap(client.http.GET("/v1/aliases/{name}", { params, signal: signal ?? null }));
}

/** All aliases, newest first, fetched as they are asked for. */
export async function* listAliases(
  client: Finetuned,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<AliasObject, void, undefined> {
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/aliases", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

/** Set what stood before the last change. Twice in a row undoes itself: send the etag. */
export function rollbackAlias(
  client: Finetuned,
  name: string,
  { etag, signal }: AliasOptions = {},
): Promise<AliasObject> {
  const params = { path: { name }, header: ifMatch(etag) };
  return unwrap(
    client.http.POST("/v1/aliases/{name}/rollback", { params, signal: signal ?? null }),
  );
}

/** Who pointed it where and when, newest first; the last 100 changes. */
export async function aliasHistory(
  client: Finetuned,
  name: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<AliasChange[]> {
  const params = { path: { name } };
  const page = await unwrap(
    client.http.GET("/v1/aliases/{name}/history", { params, signal: signal ?? null }),
  );
  return page.data;
}

/** Remove an alias and its history; the models stay. */
export async function deleteAlias(
  client: Finetuned,
  name: string,
  { etag, signal }: AliasOptions = {},
): Promise<void> {
  const params = { path: { name }, header: ifMatch(etag) };
  await client.http.DELETE("/v1/aliases/{name}", { params, signal: signal ?? null });
}

function ifMatch(etag: string | undefined): { "if-match"?: string } {
  return etag === undefined ? {} : { "if-match": `"${etag}"` };
}
