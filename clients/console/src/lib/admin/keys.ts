/** What a form of an API key has, and what the API takes of it. */

import type { ApiKey, CreateApiKey } from "@finetuned/client";
import { session } from "#lib/session.svelte.ts";
import { choicesOf, KEY_LIMITS, limitsOf, type LimitChoices } from "./limits.ts";

const DAY_S = 86_400;
/** Seconds for which old secrets stay valid after a rotation. */
export const OVERLAPS = [0, 3600, DAY_S, 7 * DAY_S] as const;
const ROLES = ["member", "trainer", "inference", "reader", "project_admin"] as const;
const ROLES_OF_ALL = ["auditor", "admin"] as const;
export type Role = (typeof ROLES)[number] | (typeof ROLES_OF_ALL)[number];

/** Roles that the person may give: none with more permissions than their own. */
export function roles(): Role[] {
  return session.can("organization.write") ? [...ROLES, ...ROLES_OF_ALL] : [...ROLES];
}

export interface KeyDraft {
  name: string;
  role: Role;
  /** One model or alias a line; empty for all. */
  models: string;
  /** Days until it expires; 0 for never; null leaves it as it is. */
  days: number | null;
  /** One address or range a line; empty for all. */
  addresses: string;
  limits: LimitChoices;
}

export function draftOf(key: ApiKey | null): KeyDraft {
  return {
    name: key?.name ?? "",
    role: key?.role ?? "member",
    models: (key?.models ?? []).join("\n"),
    days: key === null ? 90 : null,
    addresses: (key?.allowed_ips ?? []).join("\n"),
    limits: choicesOf(KEY_LIMITS, key?.limits),
  };
}

export function paramsOf(draft: KeyDraft): CreateApiKey {
  const { name, role, days } = draft;
  return {
    name,
    role,
    models: role === "inference" ? linesOf(draft.models) : null,
    allowed_ips: linesOf(draft.addresses),
    limits: limitsOf(draft.limits),
    ...lifetimeOf(days),
  };
}

/** Seconds until a secret expires, by its days; 0 is for ever, and null leaves it as it is. */
export function lifetimeOf(days: number | null): { expires_in_seconds?: number | null } {
  return days === null ? {} : { expires_in_seconds: days === 0 ? null : days * DAY_S };
}

function linesOf(text: string): string[] | null {
  const lines = text.split(/[\n,]/).map((line) => line.trim());
  const found = lines.filter((line) => line !== "");
  return found.length > 0 ? found : null;
}
