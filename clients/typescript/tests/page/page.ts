/** A page that uploads a chosen file, trains on it, and shows how far both are. */

import { Finetuned } from "@finetuned/client";

declare const settings: { baseURL: string; apiKey: string; model: string };

const input = document.querySelector("input") as HTMLInputElement;
const progress = document.querySelector("progress") as HTMLProgressElement;
const output = document.querySelector("output") as HTMLOutputElement;
const list = document.querySelector("ol") as HTMLOListElement;
/** Every state that the bar was in, for the test. */
const seen: number[] = [];
Object.assign(globalThis, { seen });

input.addEventListener("change", async () => {
  try {
    const { baseURL, apiKey, model } = settings;
    const client = new Finetuned({ baseURL, apiKey });
    const file = await client.files.upload(input.files?.[0] as File, {
      partBytes: 64 * 1024,
      onProgress: ({ sentBytes, totalBytes }) => {
        progress.value = sentBytes / totalBytes;
        seen.push(progress.value);
      },
    });
    const { jobs } = client.fineTuning;
    const job = await jobs.create({ model, training_file: file.id });
    for await (const event of jobs.watch(job.id)) {
      list.append(Object.assign(document.createElement("li"), { textContent: event.message }));
      if (event.message.includes("queued")) await jobs.cancel(job.id);
    }
    output.value = `done ${file.id}`;
  } catch (error) {
    output.value = String(error);
  }
});
