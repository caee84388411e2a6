/** The sections of Admin, in their order, and what a role needs to see each. */

import { session, type Permission } from "#lib/session.svelte.ts";

export const SECTIONS = [
  { name: "health", needs: "organization.read" },
  { name: "projects", needs: "organization.read" },
  { name: "keys", needs: "api_keys.read" },
  { name: "usage", needs: "usage.read" },
  { name: "audit", needs: "audit_logs.read" },
  { name: "erasures", needs: "files.read" },
  { name: "webhooks", needs: "webhooks.read" },
] as const satisfies readonly { name: string; needs: Permission }[];

export function allowedSections(): (typeof SECTIONS)[number][] {
  return SECTIONS.filter(({ needs }) => session.can(needs));
}
