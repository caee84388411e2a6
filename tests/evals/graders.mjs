// Runs and validates a grader with OpenAI's own SDK. Prints what the server said as JSON.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.FINETUNED_BASE_URL}/v1`,
  apiKey: process.env.FINETUNED_API_KEY,
  maxRetries: 0,
});
const { graders } = client.fineTuning.alpha;
const grader = {
  type: "string_check",
  name: "city",
  input: "{{sample.output_text}}",
  operation: "ilike",
  reference: "{{item.city}}",
};
const valid = await graders.validate({ grader });
const ran = await graders.run({ grader, model_sample: "It is Oslo.", item: { city: "oslo" } });
const refused = await graders
  .validate({ grader: { ...grader, input: "{{answer}}" } })
  .catch((error) => ({ status: error.status, param: error.param, code: error.code }));
console.log(JSON.stringify({ valid, ran, refused }));
