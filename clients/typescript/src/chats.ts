/** Stored chats. OpenAI's SDK lists, reads, describes and deletes single ones. */

import { type Finetuned, postJson, unwrap } from "./client.js";
import type { WaitOptions } from "./datasets.js";
import type { CreateStoredChatFile, FileObject } from "./types.js";

/** Write stored chats to a training file, one row for each. It is checked like an upload. */
export function createStoredChatFile(
  client: Finetuned,
  body: CreateStoredChatFile = {},
  { signal }: WaitOptions = {},
): Promise<FileObject> {
  return postJson(client, "/v1/datasets/chat_completions", body, { signal: signal ?? null });
}

/** Delete all stored chats of the project, or those of a model. Returns their number. */
export async function deleteStoredChats(
  client: Finetuned,
  { model, signal }: { model?: string } & WaitOptions = {},
): Promise<number> {
  const query = model === undefined ? {} : { model };
  const answer = await unwrap(
    client.http.DELETE("/v1/chat/completions", { params: { query }, signal: signal ?? null }),
  );
  return answer.deleted;
}
