/** Short notices in a corner, read out politely, with an optional action such as undo. */

import { faultOf } from "./api.ts";
import { textOf } from "./i18n.svelte.ts";

export interface Toast {
  id: number;
  text: string;
  tone: "neutral" | "danger";
  /** Language of the text, if it is not the person's. */
  lang?: "en" | undefined;
  action?: { text: string; run: () => void } | undefined;
}

const SHOWN_MS = 6000;

let next = 0;
export const toasts: Toast[] = $state([]);

export function toast(
  text: string,
  tone: Toast["tone"] = "neutral",
  action?: Toast["action"],
  lang?: Toast["lang"],
): void {
  const id = next++;
  toasts.push({ id, text, tone, action, lang });
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function dismiss(id: number): void {
  const at = toasts.findIndex((each) => each.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

/** Say that something failed, and why. */
export function failed(error: unknown): void {
  const fault = faultOf(error);
  const known = textOf(`errors.${fault.code}`);
  if (known) toast(known, "danger");
  else toast(fault.message, "danger", undefined, "en");
}
