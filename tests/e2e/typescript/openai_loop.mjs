// The whole loop with OpenAI's own SDK, unmodified. Prints what it saw as JSON.

import { createReadStream } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import OpenAI, { NotFoundError } from "openai";

const [path, base] = process.argv.slice(2);
const openai = new OpenAI({
  baseURL: `${process.env.FINETUNED_BASE_URL}/v1`,
  apiKey: process.env.FINETUNED_API_KEY,
});

const uploaded = await openai.files.create({ file: createReadStream(path), purpose: "fine-tune" });
const file = await openai.files.waitForProcessing(uploaded.id, { pollInterval: 200 });

let job = await openai.fineTuning.jobs.create({
  model: base,
  training_file: file.id,
  suffix: "node",
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 12 } } },
});
while (!["succeeded", "failed", "cancelled"].includes(job.status)) {
  await sleep(300);
  job = await openai.fineTuning.jobs.retrieve(job.id);
}
const events = [];
for await (const event of openai.fineTuning.jobs.listEvents(job.id, { limit: 5 })) {
  events.push(event.message);
}

const model = job.fine_tuned_model;
const asked = { model, max_tokens: 6, messages: [{ role: "user", content: "Question 1?" }] };
const whole = await openai.chat.completions.create(asked);
const pieces = [];
for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
  if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
}

const { deleted } = await openai.models.delete(model);
let after = null;
try {
  await openai.models.retrieve(model);
} catch (error) {
  if (!(error instanceof NotFoundError)) throw error;
  after = error.code;
}
const answer = whole.choices[0].message.content;
console.log(JSON.stringify({ file, job, events, answer, pieces, deleted, after }));
