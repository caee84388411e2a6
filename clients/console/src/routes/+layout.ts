// A single-page app: the API serves static files, and all data is fetched in the browser.
import { redirect } from "@sveltejs/kit";
import { i18n } from "#lib/i18n.svelte.ts";
import { session } from "#lib/session.svelte.ts";

export const ssr = false;
export const prerender = false;
export const trailingSlash = "never";

let isStarted = false;

export async function load({ url }: { url: URL }): Promise<void> {
  if (!isStarted) {
    await Promise.all([i18n.start(), session.restore().catch(() => false)]);
    isStarted = true;
  }
  if (!session.isSignedIn && !url.pathname.startsWith("/console/sign-in")) {
    const next = url.pathname + url.search;
    redirect(307, `/console/sign-in?next=${encodeURIComponent(next)}`);
  }
}
