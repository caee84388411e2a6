/** Sums of usage over time, and by model, key or project. */

import type { CompletionsUsage, CompletionsUsageBucket } from "@finetuned/client";
import { i18n } from "#lib/i18n.svelte.ts";

export const RANGES = ["24h", "7d", "30d", "90d"] as const;
export type Range = (typeof RANGES)[number];
export const GROUPS = ["model", "api_key_id", "project_id"] as const;
export type Group = (typeof GROUPS)[number];

const HOUR_S = 3600;
const DAY_S = 86_400;
const DAYS: Record<Exclude<Range, "24h">, number> = { "7d": 7, "30d": 30, "90d": 90 };

interface Period {
  start_time: number;
  bucket_width: "1h" | "1d";
  limit: number;
}

/** The buckets of a range, which end with the current hour or UTC day. */
export function periodOf(range: Range, nowS: number): Period {
  const [width, count] = range === "24h" ? [HOUR_S, 24] : [DAY_S, DAYS[range]];
  const start = (Math.floor(nowS / width) - count + 1) * width;
  return { start_time: start, bucket_width: width === HOUR_S ? "1h" : "1d", limit: count };
}

export interface Sums {
  /** Answered and failed requests together. */
  requests: number;
  failed: number;
  prompt: number;
  cached: number;
  answer: number;
}

export function sum(results: readonly CompletionsUsage[]): Sums {
  const sums = { requests: 0, failed: 0, prompt: 0, cached: 0, answer: 0 };
  for (const result of results) {
    sums.requests += result.num_model_requests + result.num_failed_requests;
    sums.failed += result.num_failed_requests;
    sums.prompt += result.input_tokens;
    sums.cached += result.input_cached_tokens;
    sums.answer += result.output_tokens;
  }
  return sums;
}

export interface GroupSums extends Sums {
  id: string;
}

/** Sums by the members of a group, those with the most tokens first. */
export function byGroup(buckets: readonly CompletionsUsageBucket[], group: Group): GroupSums[] {
  const found = new Map<string, CompletionsUsage[]>();
  for (const result of buckets.flatMap(({ results }) => results)) {
    const id = result[group] ?? "";
    found.set(id, [...(found.get(id) ?? []), result]);
  }
  return [...found]
    .map(([id, results]) => ({ id, ...sum(results) }))
    .sort((a, b) => b.prompt + b.answer - (a.prompt + a.answer));
}

/** Start of a bucket in UTC, as the service counts. */
export function utc(seconds: number, width: Period["bucket_width"]): string {
  const parts: Intl.DateTimeFormatOptions =
    width === "1h" ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  const format = new Intl.DateTimeFormat(i18n.language.tag, { ...parts, timeZone: "UTC" });
  return format.format(seconds * 1000);
}

/** The buckets as CSV, with one line for each member of the group. */
export function csvOf(buckets: readonly CompletionsUsageBucket[], group: Group): string {
  const names = ["requests", "failed", "prompt", "cached", "answer"] as const;
  const lines = [["start_time", group, ...names].join(",")];
  for (const bucket of buckets) {
    const start = new Date(bucket.start_time * 1000).toISOString();
    for (const { id, ...sums } of byGroup([bucket], group)) {
      lines.push([start, quoted(id), ...names.map((name) => sums[name])].join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}

// A leading quote keeps spreadsheets from taking a name for a formula.
function quoted(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
