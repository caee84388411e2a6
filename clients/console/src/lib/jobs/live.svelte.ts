/** The events of a job as they happen, newest first, and the progress that the last of them reports. */

import type { FineTuningJobEvent } from "@finetuned/client";
import { client } from "#lib/api.ts";

const PAGE = 100;

export interface Progress {
  step: number;
  total: number | null;
  loss: number | null;
  tokensPerSecond: number | null;
}

export class JobEvents {
  list: FineTuningJobEvent[] = $state.raw([]);
  hasMore = $state(false);
  isLoaded = $state(false);
  /** What stopped the watch, if not the end of the job. */
  error: unknown = $state.raw(null);
  readonly progress: Progress | null = $derived(progressOf(this.list));
  readonly #id: string;
  readonly #end = new AbortController();

  constructor(id: string, onchange: (events: FineTuningJobEvent[]) => void) {
    this.#id = id;
    void this.#watch(onchange);
  }

  stop(): void {
    this.#end.abort();
  }

  /** Read the events before the oldest one that is known. */
  async more(): Promise<void> {
    const after = this.list.at(-1)?.id;
    const page = await client.fineTuning.jobs.listEvents(this.#id, {
      limit: PAGE,
      ...(after ? { after } : {}),
    });
    this.list = [...this.list, ...page.data];
    this.hasMore = page.has_more;
  }

  /** Read the newest events again: those of the evaluation come after the end of the stream. */
  async refresh(): Promise<void> {
    const { data } = await client.fineTuning.jobs.listEvents(this.#id, { limit: PAGE });
    const known = new Set(this.list.map(({ id }) => id));
    const fresh = data.filter(({ id }) => !known.has(id));
    if (fresh.length > 0) this.list = [...fresh, ...this.list];
  }

  async #watch(onchange: (events: FineTuningJobEvent[]) => void): Promise<void> {
    const { signal } = this.#end;
    try {
      await this.more();
      this.isLoaded = true;
      const after = this.list[0]?.id;
      // Many events may arrive at once, as after a lost connection: the page is updated once.
      let fresh: FineTuningJobEvent[] = [];
      const publish = (): void => {
        if (signal.aborted || fresh.length === 0) return;
        this.list = [...fresh.reverse(), ...this.list];
        onchange(fresh);
        fresh = [];
      };
      const events = client.fineTuning.jobs.watch(this.#id, {
        patience: Number.POSITIVE_INFINITY,
        signal,
        ...(after ? { after } : {}),
      });
      for await (const event of events) {
        if (event.object !== "fine_tuning.job.event") break;
        if (fresh.push(event) === 1) setTimeout(publish, 100);
      }
      publish();
      onchange([]);
    } catch (error) {
      if (!signal.aborted) this.error = error;
      this.isLoaded = true;
    }
  }
}

export function progressOf(events: readonly FineTuningJobEvent[]): Progress | null {
  const found = events.find(({ type }) => type === "metrics");
  if (!found) return null;
  const numberOf = (name: string): number | null => {
    const value = found.data[name];
    return typeof value === "number" ? value : null;
  };
  return {
    step: numberOf("step") ?? 0,
    total: numberOf("total_steps"),
    loss: numberOf("train_loss"),
    tokensPerSecond: numberOf("tokens_per_second"),
  };
}
