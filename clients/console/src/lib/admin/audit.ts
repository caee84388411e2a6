/** Filters of the audit log, as they are in the address and in requests. */

import type { AuditLog, AuditLogsListParams } from "@finetuned/client";

export const FILTERS = ["type", "actor", "object", "from", "to"] as const;
export type FilterName = (typeof FILTERS)[number];

const DAY_S = 86_400;

/** Parameters of the list. Days are UTC; the last one counts. */
export function paramsOf(query: { get: (name: string) => string | null }): AuditLogsListParams {
  const text = (name: string): string[] | undefined => {
    const value = query.get(name)?.trim();
    return value ? [value] : undefined;
  };
  const day = (name: FilterName): number | undefined => {
    const milliseconds = Date.parse(query.get(name) ?? "");
    return Number.isNaN(milliseconds) ? undefined : milliseconds / 1000;
  };
  const to = day("to");
  const params = {
    event_types: text("type"),
    actor_ids: text("actor"),
    resource_ids: text("object"),
    project_ids: text("project"),
    "effective_at[gte]": day("from"),
    "effective_at[lt]": to === undefined ? undefined : to + DAY_S,
  };
  const given = Object.entries(params).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as AuditLogsListParams;
}

/** ID of the key that acted, or the name of the service or operator; null if no key was sent. */
export function actorOf(entry: AuditLog): string | null {
  return entry.actor.api_key?.id ?? entry.actor.session?.user.id ?? null;
}
