// A single-page app: the API serves static files, and all data is fetched in the browser.
import { i18n } from "#lib/i18n.svelte.ts";
import { session } from "#lib/session.svelte.ts";

export const ssr = false;
export const prerender = false;
export const trailingSlash = "never";

/** Load the language and the session, once. The layout asks to sign in if there is none. */
let started: Promise<unknown> | undefined;

export async function load(): Promise<void> {
  started ??= Promise.all([i18n.start(), session.restore()]);
  await started;
}
