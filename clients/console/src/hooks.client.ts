/** Errors of pages themselves. A page whose script cannot be fetched waits for the connection. */

import type { HandleClientError } from "@sveltejs/kit/hooks";
import { connection } from "#lib/connection.svelte.ts";

export const handleError: HandleClientError = (caught) => {
  if (caught.kind !== "unknown") return;
  const { error } = caught;
  const message = error instanceof Error ? error.message : String(error);
  if (/dynamically imported module|Failed to fetch|Importing a module/.test(message)) {
    connection.lost();
    const end = connection.onBack(() => {
      end();
      location.reload();
    });
  }
  return { message };
};
