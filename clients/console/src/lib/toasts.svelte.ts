/** Short notices in a corner, read out politely, with an optional action such as undo. */

import { faultOf } from "./api.ts";

export interface Toast {
  id: number;
  text: string;
  tone: "neutral" | "danger";
  action?: { text: string; run: () => void } | undefined;
}

const SHOWN_MS = 6000;

let next = 0;
export const toasts: Toast[] = $state([]);

export function toast(
  text: string,
  tone: Toast["tone"] = "neutral",
  action?: Toast["action"],
): void {
  const id = next++;
  toasts.push({ id, text, tone, action });
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function dismiss(id: number): void {
  const at = toasts.findIndex((each) => each.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

/** Say that something failed, and why. */
export function failed(error: unknown): void {
  toast(faultOf(error).message, "danger");
}
