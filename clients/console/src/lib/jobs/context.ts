/** The job of the page, for its tabs. */

import type { FineTuningJob } from "@finetuned/client";
import { createContext } from "svelte";
import type { JobEvents } from "./live.svelte.ts";

export interface JobPage {
  readonly id: string;
  readonly job: FineTuningJob | undefined;
  readonly events: JobEvents;
}

export const [jobPage, setJobPage] = createContext<JobPage>();
