// An estimate, an evaluation, and an alias of the job with the given id that OpenAI's SDK chats
// with. Prints JSON.

import { APIError, Finetuned } from "@finetuned/client";
import OpenAI from "openai";

const client = new Finetuned();
const { jobs } = client.fineTuning;
const job = await jobs.retrieve(process.argv[2]);
const { model, training_file, fine_tuned_model } = job;
const told = await client.fineTuning.estimateWhenReady({ model, training_file });

const evaluation = await jobs.evaluation.wait(job.id, { maxWait: 240_000 });
const report = await (await jobs.evaluation.report(job.id, { format: "md" })).text();
const { rows } = await (await jobs.evaluation.report(job.id, { format: "json" })).json();

const name = "node/live";
await client.aliases.set(name, { model }, { ifNoneMatch: "*" });
const { etag } = await client.aliases.set(name, { model: fine_tuned_model });
const openai = new OpenAI(client.openaiOptions());
const messages = [{ role: "user", content: "Question 1?" }];
const answer = await openai.chat.completions.create({ model: name, max_tokens: 5, messages });
const back = await client.aliases.rollback(name, { ifMatch: etag });
const again = await client.aliases.rollback(name, { ifMatch: etag }).catch((error) => error);
await client.aliases.delete(name);

const conflict = again instanceof APIError && again.code;
console.log(
  JSON.stringify({ job, estimate: told, evaluation, report, rows: rows.length, answer, back, conflict }),
);
