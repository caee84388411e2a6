/** Event types of webhooks, grouped by what they are about. */

export interface EventGroup {
  name: string;
  types: string[];
}

/** `fine_tuning.job.succeeded` is of the group `fine_tuning.job`. */
export function groupsOf(types: readonly string[]): EventGroup[] {
  const groups = new Map<string, string[]>();
  for (const type of types) {
    const name = type.slice(0, type.lastIndexOf("."));
    groups.set(name, [...(groups.get(name) ?? []), type]);
  }
  return [...groups].map(([name, members]) => ({ name, types: members }));
}
