/** Erasures: what was searched for is known only to the page that asked, until it is left. */

import type { Erasure } from "@finetuned/client";

export const MATCHES = ["substring", "text", "row_sha256"] as const;
export type MatchType = (typeof MATCHES)[number];

/** The text of the search that this page began, by the ID of the erasure. Never stored. */
export const searched = new Map<string, string>();

export function foundRows(erasure: Erasure): number {
  const { files = [], stored_chats } = erasure.result ?? {};
  const rows = files.reduce((total, file) => total + (file.matches ?? 0), 0);
  return rows + (stored_chats?.matches ?? 0);
}

export function receiptsOf(erasure: Erasure): string[] {
  return (erasure.result?.files ?? []).flatMap(({ receipts }) => receipts);
}
