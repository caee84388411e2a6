// OpenAI's SDK for Node: an eval, a run of it, its output items page by page, cancel and delete.
import OpenAI from "openai";

const [model] = process.argv.slice(2);
const client = new OpenAI({
  baseURL: `${process.env.FINETUNED_BASE_URL}/v1`,
  apiKey: process.env.FINETUNED_API_KEY,
});

const evaluation = await client.evals.create({
  name: "node",
  data_source_config: {
    type: "custom",
    item_schema: { type: "object", properties: { question: { type: "string" } } },
    include_sample_schema: true,
  },
  testing_criteria: [
    {
      type: "string_check",
      name: "says something",
      input: "{{sample.output_text}}",
      operation: "ne",
      reference: "",
    },
  ],
});
const renamed = await client.evals.update(evaluation.id, { name: "renamed" });
const content = [1, 2, 3].map((n) => ({ item: { question: `Say hello number ${n}.` } }));
const data_source = {
  type: "completions",
  model,
  source: { type: "file_content", content },
  input_messages: {
    type: "template",
    template: [{ role: "user", content: "{{item.question}}" }],
  },
  sampling_params: { temperature: 0, max_completion_tokens: 4 },
};
let run = await client.evals.runs.create(evaluation.id, { name: "base", data_source });
const of = { eval_id: evaluation.id };
while (["queued", "in_progress"].includes(run.status)) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  run = await client.evals.runs.retrieve(run.id, of);
}
const items = [];
for await (const item of client.evals.runs.outputItems.list(run.id, { ...of, limit: 2 })) {
  items.push(item);
}
const one = await client.evals.runs.outputItems.retrieve(items[0].id, { ...of, run_id: run.id });
const second = await client.evals.runs.create(evaluation.id, { data_source });
const canceled = await client.evals.runs.cancel(second.id, of);
const again = await client.evals.runs.cancel(second.id, of).catch((error) => error);
const runs = [];
for await (const found of client.evals.runs.list(evaluation.id, { limit: 1 })) runs.push(found.id);
const deletedRun = await client.evals.runs.delete(second.id, of);
const found = [];
for await (const other of client.evals.list({ order: "desc", limit: 1 })) found.push(other.id);
const deleted = await client.evals.delete(evaluation.id);
const after = await client.evals.retrieve(evaluation.id).catch((error) => error.status);
console.log(
  JSON.stringify({
    eval: evaluation,
    renamed: renamed.name,
    run,
    items,
    one,
    canceled: [canceled.status, again.code],
    runs,
    second: second.id,
    deletedRun,
    found,
    deleted,
    after,
  }),
);
