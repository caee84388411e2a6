/** Limits of keys and projects, as a form has them and as the API does. */

type Value = number | "unlimited" | null;

/** What a person chose: the default of the installation, no limit, or a number. */
export interface LimitChoice {
  kind: "default" | "unlimited" | "number";
  number: number | null;
}

export const KEY_LIMITS = [
  "requests_per_minute",
  "tokens_per_minute",
  "concurrent_requests",
  "concurrent_streams",
] as const;
export const PROJECT_LIMITS = [...KEY_LIMITS, "storage_bytes", "record_bytes"] as const;
export type LimitName = (typeof PROJECT_LIMITS)[number];
export type LimitChoices = Partial<Record<LimitName, LimitChoice>>;

/** Limits in bytes are typed in GiB. */
export const GIB = 1024 ** 3;
export const isOfBytes = (name: LimitName): boolean => name.endsWith("_bytes");

export function choicesOf(
  names: readonly LimitName[],
  limits: Partial<Record<LimitName, Value | undefined>> | undefined,
): LimitChoices {
  return Object.fromEntries(
    names.map((name) => {
      const value = limits?.[name] ?? null;
      if (value === null) return [name, { kind: "default", number: null }];
      if (value === "unlimited") return [name, { kind: "unlimited", number: null }];
      return [name, { kind: "number", number: isOfBytes(name) ? value / GIB : value }];
    }),
  );
}

export function limitsOf(choices: LimitChoices): Partial<Record<LimitName, Value>> {
  return Object.fromEntries(
    Object.entries(choices).map(([name, { kind, number }]) => {
      if (kind === "unlimited") return [name, "unlimited"];
      if (kind === "default" || number === null) return [name, null];
      return [name, isOfBytes(name as LimitName) ? Math.round(number * GIB) : number];
    }),
  );
}

/** Bytes that a project may have in storage, or null if there is no limit of its own. */
export function storageLimit(project: { limits: { storage_bytes?: Value } }): number | null {
  const limit = project.limits.storage_bytes;
  return typeof limit === "number" ? limit : null;
}
