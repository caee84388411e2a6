/** Corrected answers, collected until they become rows of a data set. */

import type { DatasetMerge, FileObject } from "@finetuned/client";
import { client } from "#lib/api.ts";
import { readDraft, writeDraft } from "#lib/drafts.ts";
import type { Message } from "./chat.ts";

const DRAFT = "playground.corrections";

export interface Correction {
  id: string;
  /** The conversation up to the answer. */
  messages: Message[];
  answer: string;
  tools: unknown;
}

class Corrections {
  rows: Correction[] = $state([]);

  async restore(): Promise<void> {
    this.rows = (await readDraft<Correction[]>(DRAFT)) ?? [];
  }

  add(row: Omit<Correction, "id">): void {
    this.rows.push({ ...row, id: crypto.getRandomValues(new Uint32Array(2)).join("-") });
    this.#save();
  }

  remove(id: string): void {
    this.rows = this.rows.filter((row) => row.id !== id);
    this.#save();
  }

  clear(): void {
    this.rows = [];
    this.#save();
  }

  #save(): void {
    void writeDraft(DRAFT, $state.snapshot(this.rows));
  }
}

export const corrections = new Corrections();

/** Upload the rows and merge them with a data set into a new file. */
export async function addToDataSet(
  file: FileObject,
  rows: readonly Correction[],
): Promise<DatasetMerge> {
  const lines = rows.map(({ messages, answer, tools }) =>
    JSON.stringify({
      messages: [...messages, { role: "assistant", content: answer }],
      ...(tools ? { tools } : {}),
    }),
  );
  const content = new Blob([lines.map((line) => `${line}\n`).join("")]);
  const named = new File([content], "corrections.jsonl");
  const uploaded = await client.files.create({ file: named, purpose: "fine-tune" });
  return client.datasetMerges.createAndWait({
    files: [{ file_id: file.id }, { file_id: uploaded.id }],
    filename: `${file.filename.replace(/\.\w+$/, "")}.jsonl`,
  });
}
