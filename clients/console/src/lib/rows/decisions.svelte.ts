/** Decisions of people on the rows of a file, which are stored as reviews, with undo. */

import type { PutRowReview, RowReview } from "@finetuned/client";
import { SvelteMap } from "svelte/reactivity";
import { client } from "#lib/api.ts";

/** A review as the page knows it, also before the service has answered. */
export type Decision = Pick<RowReview, "label" | "row" | "note">;
export type Change = { line: number; to: Decision | null };

/** Reviews that are loaded at first. Beyond them, only those made here are known. */
const MOST = 5000;
const PAGE = 100;

export class Decisions {
  readonly #of = new SvelteMap<number, Decision>();
  /** What to do to undo each action, the last one at the end. */
  #undo: Change[][] = $state([]);
  isLoaded = $state(false);
  error: unknown = $state(null);

  constructor(readonly file: string) {}

  async load(signal: AbortSignal): Promise<void> {
    this.error = null;
    try {
      const reviews = client.files.reviews.list(this.file, { limit: PAGE }, { signal });
      for await (const review of reviews) {
        this.#of.set(review.line, review);
        if (this.#of.size >= MOST) break;
      }
      this.isLoaded = true;
    } catch (error) {
      if (!signal.aborted) this.error = error;
    }
  }

  get(line: number): Decision | undefined {
    return this.#of.get(line);
  }

  /** Whether a person has decided on the row. "Unsure" decides nothing. */
  isDecided(line: number): boolean {
    const label = this.#of.get(line)?.label;
    return label !== undefined && label !== "unsure";
  }

  counts(): Record<"approved" | "rejected" | "edited", number> {
    const counts = { approved: 0, rejected: 0, edited: 0 };
    for (const { label } of this.#of.values()) if (label !== "unsure") counts[label] += 1;
    return counts;
  }

  /** Lines by decision; the protected ones are those that a cleaning does not drop as copies. */
  lines(): { rejected: Set<number>; edited: Set<number>; protected: Set<number> } {
    const having = (...labels: string[]) =>
      new Set([...this.#of].flatMap(([line, { label }]) => (labels.includes(label) ? [line] : [])));
    return {
      rejected: having("rejected"),
      edited: having("edited"),
      protected: having("approved", "edited"),
    };
  }

  /** Store decisions. If the service refuses one, all are as before, and the error is thrown. */
  async decide(changes: Change[]): Promise<void> {
    const before = changes.map(({ line }) => ({ line, to: this.#of.get(line) ?? null }));
    await this.#apply(changes, before);
    this.#undo.push(before);
  }

  async undo(): Promise<Change[] | null> {
    const changes = this.#undo.pop();
    if (!changes) return null;
    const before = changes.map(({ line }) => ({ line, to: this.#of.get(line) ?? null }));
    try {
      await this.#apply(changes, before);
    } catch (error) {
      this.#undo.push(changes);
      throw error;
    }
    return changes;
  }

  async #apply(changes: Change[], before: Change[]): Promise<void> {
    for (const change of changes) this.#show(change);
    const sent = await Promise.allSettled(changes.map((change) => this.#send(change)));
    const failed = sent.find(({ status }) => status === "rejected");
    if (!failed) return;
    before.forEach((change) => this.#show(change));
    // What was stored is taken back too, as far as the service answers.
    const stored = before.filter((_, index) => sent[index]?.status === "fulfilled");
    await Promise.allSettled(stored.map((change) => this.#send(change)));
    throw (failed as PromiseRejectedResult).reason;
  }

  #show({ line, to }: Change): void {
    if (to) this.#of.set(line, to);
    else this.#of.delete(line);
  }

  async #send({ line, to }: Change): Promise<void> {
    if (!to) {
      await client.files.reviews.delete(line, { file_id: this.file });
      return;
    }
    const body: PutRowReview = { label: to.label, row: to.row, note: to.note };
    await client.files.reviews.set(line, { file_id: this.file, ...body });
  }
}

const stores = new Map<string, Decisions>();

/** The decisions on a file, which its pages share. */
export function decisionsOf(file: string): Decisions {
  const found = stores.get(file) ?? new Decisions(file);
  stores.set(file, found);
  return found;
}
