/**
 * Drafts of forms and messages, which survive a reload. Kept per person, until the sign-out or for 30
 * days.
 */

import { clear, createStore, del, delMany, entries, get, set } from "idb-keyval";
import { session } from "./session.svelte.ts";

const store = createStore("finetuned", "drafts");
const KEPT_MS = 30 * 24 * 60 * 60 * 1000;

interface Stored<T> {
  draft: T;
  written: number;
}

function keyOf(name: string): string {
  return `${session.caller?.api_key.id ?? ""} ${name}`;
}

/** Return a stored draft, or undefined. Storage that the browser refuses is treated as empty. */
export async function readDraft<T>(name: string): Promise<T | undefined> {
  try {
    await forgetOld();
    return (await get<Stored<T>>(keyOf(name), store))?.draft;
  } catch {
    return undefined;
  }
}

export async function writeDraft(name: string, draft: unknown): Promise<void> {
  if (!session.isSignedIn) return; // signed out: a page that closes leaves nothing behind
  try {
    await set(keyOf(name), structuredClone({ draft, written: Date.now() }), store);
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

/** Forget what was written too long ago, by whomever: not everyone signs out. */
async function forgetOld(): Promise<void> {
  const all = await entries<string, Partial<Stored<unknown>> | undefined>(store);
  const old = all.filter(([, stored]) => !((stored?.written ?? 0) > Date.now() - KEPT_MS));
  if (old.length > 0)
    await delMany(
      old.map(([key]) => key),
      store,
    );
}
