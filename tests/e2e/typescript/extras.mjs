// An estimate, an evaluation, and an alias of the job with the given id that OpenAI's SDK chats
// with. Prints JSON.

import {
  ConflictError,
  deleteAlias,
  estimate,
  evaluationReport,
  Finetuned,
  rollbackAlias,
  setAlias,
  unwrap,
  waitForEvaluation,
} from "@finetuned/client";
import OpenAI from "openai";

const client = new Finetuned();
const path = { job_id: process.argv[2] };
const job = await unwrap(client.http.GET("/v1/fine_tuning/jobs/{job_id}", { params: { path } }));
const told = await estimate(client, { model: job.model, training_file: job.training_file });

const evaluation = await waitForEvaluation(client, job.id, { signal: AbortSignal.timeout(240_000) });
const report = await evaluationReport(client, job.id);
const rows = JSON.parse(await evaluationReport(client, job.id, "json")).rows.length;

const name = "node/live";
await setAlias(client, name, job.model, { isNew: true });
const { etag } = await setAlias(client, name, job.fine_tuned_model);
const openai = new OpenAI(client.openaiOptions());
const messages = [{ role: "user", content: "Question 1?" }];
const answer = await openai.chat.completions.create({ model: name, max_tokens: 5, messages });
const back = await rollbackAlias(client, name, { etag });
const again = await rollbackAlias(client, name, { etag }).catch((error) => error);
await deleteAlias(client, name);

const conflict = again instanceof ConflictError && again.code;
console.log(JSON.stringify({ job, estimate: told, evaluation, report, rows, answer, back, conflict }));
