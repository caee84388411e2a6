/** Recognizers: what a project counts as personal data beyond the kinds that are detected. */

import { type Finetuned, unwrap } from "./client.js";
import type { WaitOptions } from "./datasets.js";
import type { RecognizerObject, SetRecognizer } from "./types.js";

/**
 * Define a kind of personal data, or replace its definition.
 *
 * `pattern` is a regular expression in RE2 syntax; `terms` are words and phrases. Reports count
 * what is found under this name, and cleanings replace it with the name as a label.
 */
export function setRecognizer(
  client: Finetuned,
  name: string,
  body: SetRecognizer,
  { signal }: WaitOptions = {},
): Promise<RecognizerObject> {
  const params = { path: { recognizer: name } };
  return unwrap(
    client.http.PUT("/v1/recognizers/{recognizer}", { params, body, signal: signal ?? null }),
  );
}

/** Retrieve a recognizer with its pattern and terms. */
export function getRecognizer(
  client: Finetuned,
  name: string,
  { signal }: WaitOptions = {},
): Promise<RecognizerObject> {
  const params = { path: { recognizer: name } };
  return unwrap(
    client.http.GET("/v1/recognizers/{recognizer}", { params, signal: signal ?? null }),
  );
}

/** Iterate over all recognizers, newest first. Pages are fetched on demand. */
export async function* listRecognizers(
  client: Finetuned,
  { signal }: WaitOptions = {},
): AsyncGenerator<RecognizerObject, void, undefined> {
  let after: string | null | undefined;
  do {
    const query = { limit: 100, ...(after ? { after } : {}) };
    const page = await unwrap(
      client.http.GET("/v1/recognizers", { params: { query }, signal: signal ?? null }),
    );
    yield* page.data;
    after = page.has_more ? page.last_id : null;
  } while (after);
}

/** Delete a recognizer. Files that were cleaned with it remain as they are. */
export async function deleteRecognizer(
  client: Finetuned,
  name: string,
  { signal }: WaitOptions = {},
): Promise<void> {
  const params = { path: { recognizer: name } };
  await client.http.DELETE("/v1/recognizers/{recognizer}", { params, signal: signal ?? null });
}
