/** Aliases: project-defined names for models, with traffic splits and rollback. */

import { type Finetuned, unwrap } from "./client.js";
import type { AliasChange, AliasObject } from "./types.js";

/** A model, or two models with integer percentages that sum to 100. */
export type AliasTarget = string | { model: string; weight: number }[];

export interface AliasOptions {
  /** Required ETag of the alias. Throws ConflictError if it has changed since. */
  etag?: string;
  signal?: AbortSignal;
}

export interface SetAliasOptions extends AliasOptions {
  /** Rejects an existing name. */
  isNew?: boolean;
  /**
   * Conditions that the evaluation of a trained model must meet, such as `{ chrf_gain: ">=5" }`.
   * `{}` removes them; without this option the alias keeps its gate.
   */
  gate?: Record<string, string>;
  /** Change the alias even if the gate fails. The history records it. */
  force?: boolean;
}

/**
 * Point an alias at a model, or split its requests.
 *
 * Throws ConflictError with the code `gate_failed` if a new target does not meet the alias's gate.
 */
export function setAlias(
  client: Finetuned,
  name: string,
  target: AliasTarget,
  options: SetAliasOptions = {},
): Promise<AliasObject> {
  const header = options.isNew ? { "if-none-match": "*" } : ifMatch(options.etag);
  const targets = typeof target === "string" ? { model: target } : { targets: target };
  const gate = options.gate === undefined ? {} : { gate: options.gate };
  return unwrap(
    client.http.PUT("/v1/aliases/{name}", {
      params: { path: { name }, header },
      body: { ...targets, ...gate, force: options.force ?? false },
      signal: options.signal ?? null,
    }),
  );
}

/** Retrieve an alias, with its ETag for conditional changes. */
export function getAlias(
  client: Finetuned,
  name: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<AliasObject> {
  const params = { path: { name } };
  return unwrap(client.http.GET("/v1/aliases/{name}", { params, signal: signal ?? null }));
}

/** Iterate over all aliases, newest first. Pages are fetched on demand. */
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

/** Undo the last change. A second rollback undoes the first, so send the ETag. */
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

/** List the last 100 changes of an alias (who, what, when), newest first. */
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

/** Delete an alias and its history. Its target models are kept. */
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
