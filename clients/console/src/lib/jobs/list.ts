/** The list of jobs: its filters, as the address has them, and its pages. */

import type { FineTuningJob, FineTuningJobStatus } from "@finetuned/client";
import { client } from "#lib/api.ts";
import type { ListPage } from "#lib/list.svelte.ts";

export const PAGE_JOBS = 100;

/** Filters by state. Several states of the API are one for most people. */
export const STATES = {
  running: ["running", "validating_files"],
  queued: ["queued"],
  paused: ["paused"],
  succeeded: ["succeeded"],
  failed: ["failed"],
  cancelled: ["cancelled"],
} as const satisfies Record<string, readonly FineTuningJobStatus[]>;
export type StateFilter = keyof typeof STATES;

export interface JobFilters {
  state: StateFilter | null;
  search: string;
}

type JobPage = ListPage<FineTuningJob>;

export function filtersOf(params: Pick<URLSearchParams, "get">): JobFilters {
  const state = params.get("state");
  return {
    state: state !== null && state in STATES ? (state as StateFilter) : null,
    search: params.get("search") ?? "",
  };
}

function get(query: object, signal: AbortSignal): Promise<JobPage> {
  return client.get<JobPage>("/fine_tuning/jobs", { query, signal });
}

/** Return a page of jobs, newest first. */
export function listJobs(
  { state, search }: JobFilters,
  at: { limit: number; after?: string },
  signal: AbortSignal,
): Promise<JobPage> {
  const query = {
    ...at,
    ...(state ? { status: STATES[state] } : {}),
    ...(search ? { search } : {}),
  };
  return get(query, signal);
}

/** Return the jobs that are not over, and the number of all jobs by status. */
export async function activeJobs(signal: AbortSignal): Promise<JobPage> {
  const status = [...STATES.running, ...STATES.paused];
  return get({ limit: PAGE_JOBS, status }, signal);
}

export async function countJobs(search: string, signal: AbortSignal) {
  const query = { limit: 1, include: ["counts"], ...(search ? { search } : {}) };
  return (await get(query, signal)).counts;
}

/** Rows with the newest known state of each job; jobs that were created since come first. */
export function withNews(
  rows: readonly FineTuningJob[],
  newest: readonly FineTuningJob[],
  active: readonly FineTuningJob[],
): FineTuningJob[] {
  const known = new Map([...active, ...newest].map((job) => [job.id, job]));
  const listed = new Set(rows.map(({ id }) => id));
  const created = newest.filter(({ id }) => !listed.has(id));
  return [...created, ...rows.map((job) => known.get(job.id) ?? job)];
}
