/** Drafts of forms and messages, which survive a reload. Kept per person, until the sign-out. */

import { clear, createStore, del, get, set } from "idb-keyval";
import { session } from "./session.svelte.ts";

const store = createStore("finetuned", "drafts");

function keyOf(name: string): string {
  return `${session.caller?.api_key.id ?? ""} ${name}`;
}

/** Return a stored draft, or undefined. Storage that the browser refuses is treated as empty. */
export async function readDraft<T>(name: string): Promise<T | undefined> {
  try {
    return await get<T>(keyOf(name), store);
  } catch {
    return undefined;
  }
}

export async function writeDraft(name: string, draft: unknown): Promise<void> {
  if (!session.isSignedIn) return; // signed out: a page that closes leaves nothing behind
  try {
    await set(keyOf(name), structuredClone(draft), store);
  } catch {
    // Private windows may refuse storage. Then a reload loses the draft.
  }
}

export async function deleteDraft(name: string): Promise<void> {
  await del(keyOf(name), store).catch(() => undefined);
}

export async function clearDrafts(): Promise<void> {
  await clear(store).catch(() => undefined);
}
