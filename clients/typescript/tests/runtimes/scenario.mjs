/** What a program does with the client: it runs in each runtime, with nothing but web APIs. */

import { Finetuned, NotFoundError } from "@finetuned/client";

/** Upload a file, follow a job, read a list, see an error. Returns what was seen. */
export async function scenario({ baseURL, apiKey, model }) {
  const client = new Finetuned({ baseURL, apiKey });
  const row = (n) => ({
    messages: [
      { role: "user", content: `Which book is number ${n}?` },
      { role: "assistant", content: `Number ${n} is a tale of the sea.` },
    ],
  });
  const rows = Array.from({ length: 20 }, (_, n) => JSON.stringify(row(n))).join("\n");
  const uploaded = await client.files.upload(new Blob([rows]), {
    filename: "chats.jsonl",
    partBytes: 1000,
  });
  const file = await client.files.wait(uploaded.id);

  const { jobs } = client.fineTuning;
  const job = await jobs.create({ model, training_file: file.id });
  const events = [];
  for await (const event of jobs.watch(job.id)) {
    events.push(event.message);
    if (event.message.includes("queued")) await jobs.cancel(job.id);
  }
  const listed = [];
  for await (const one of jobs.listEvents(job.id, { limit: 2 })) listed.unshift(one.message);
  const error = await client.files.retrieve("file-unknown").catch((error) => error);
  const { data, request_id } = await client.models.list().withResponse();
  const content = await (await client.files.content(file.id)).text();
  return {
    rows: file.rows,
    isSame: content === rows,
    status: (await jobs.wait(job.id)).status,
    events,
    listed,
    isNotFound: error instanceof NotFoundError,
    models: data.data.map(({ id }) => id),
    requestId: request_id,
  };
}
