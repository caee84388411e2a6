/** The form of a training: its state, its address, and the request that it stands for. */

import type {
  CreateFineTuningJob,
  FileObject,
  FineTuningJob,
  FineTuningMethod,
} from "@finetuned/client";
import { parameters } from "virtual:parameters";
import { isWrong, plain, readNumber, readValue, type Wrong } from "./values.ts";

export type Method = FineTuningMethod["type"];
export const METHODS = Object.keys(parameters) as Method[];

/** Format of the rows that each method learns from, as files name it. */
export const ROWS_OF: Record<Method, string> = {
  supervised: "chat",
  dpo: "preference",
  kto: "labeled",
  pretraining: "text",
  reinforcement: "reinforcement",
};

export interface TrainForm {
  file: string;
  /** How rows are held out for the evaluation. */
  heldOut: "share" | "file" | "none";
  share: string;
  validationFile: string;
  mixed: { file: string; weight: string }[];
  model: string;
  method: Method;
  /** Typed values by name of the parameter. */
  values: Record<string, string>;
  suffix: string;
  seed: string;
  priority: string;
  /** Conditions such as `chrf_gain>=5`, one per line. */
  gate: string;
  mlflow: string;
  /** Pairs such as `team=support`, one per line. */
  metadata: string;
  prompt: string;
  /** JSON of the grader of reinforcement. */
  grader: string;
}

export function emptyForm(): TrainForm {
  return {
    file: "",
    heldOut: "none",
    share: "0.1",
    validationFile: "",
    mixed: [],
    model: "",
    method: "supervised",
    values: {},
    suffix: "",
    seed: "",
    priority: "",
    gate: "",
    mlflow: "",
    metadata: "",
    prompt: "",
    grader: "",
  };
}

const PLAIN = ["model", "suffix", "seed", "priority", "mlflow", "gate"] as const;
// Texts that people write are kept in the draft, and are never part of an address.
const PRIVATE = ["prompt", "grader", "metadata"] as const;

/** Write the choices as the query of an address. */
export function toAddress(form: TrainForm): URLSearchParams {
  const query = new URLSearchParams();
  if (form.file) query.set("file", form.file);
  for (const name of PLAIN) if (form[name]) query.set(name, form[name]);
  if (form.heldOut !== "file") query.set("share", form.heldOut === "none" ? "0" : form.share);
  if (form.heldOut === "file") query.set("validation", form.validationFile);
  for (const { file, weight } of form.mixed) query.append("mix", `${file}=${weight}`);
  if (form.method !== "supervised") query.set("method", form.method);
  for (const [name, text] of Object.entries(form.values)) {
    if (text.trim()) query.set(name, text.trim());
  }
  return query;
}

/** Read the choices of an address. Private texts come from a draft. */
export function fromAddress(query: URLSearchParams, draft: TrainForm | undefined): TrainForm {
  const form = emptyForm();
  for (const name of PRIVATE) form[name] = draft?.[name] ?? "";
  form.file = query.get("file") ?? "";
  for (const name of PLAIN) form[name] = query.get(name) ?? "";
  const [share, validation, method] = ["share", "validation", "method"].map((key) =>
    query.get(key),
  );
  if (validation) Object.assign(form, { heldOut: "file", validationFile: validation });
  else if (share && share !== "0") Object.assign(form, { heldOut: "share", share });
  if (method && METHODS.includes(method as Method)) form.method = method as Method;
  form.mixed = query.getAll("mix").map((text) => {
    const [file = "", weight = "1"] = text.split("=");
    return { file, weight };
  });
  for (const name of new Set(METHODS.flatMap((each) => parameters[each].map((p) => p.name)))) {
    const text = query.get(name);
    if (text) form.values[name] = text;
  }
  return form;
}

/** The form with the saved settings of a job: the same training, when it is started again. */
export function fromJob(job: FineTuningJob): TrainForm {
  const form = emptyForm();
  const type = job.method["type"] as Method;
  const options = job.method[type] as { hyperparameters?: object; grader?: object } | null;
  const chosen = flatten(options?.hyperparameters ?? {});
  form.file = job.training_file;
  form.model = job.model;
  form.method = type;
  if (job.validation_file) {
    Object.assign(form, { heldOut: "file", validationFile: job.validation_file });
  } else if (chosen["validation_share"] != null) {
    Object.assign(form, { heldOut: "share", share: plain(chosen["validation_share"]) });
  }
  form.mixed = (job.mixed_files ?? []).map(({ file, weight }) => ({ file, weight: plain(weight) }));
  for (const { name, default: usual } of parameters[type]) {
    const value = chosen[name];
    // A learning rate that was multiplied overrides the multiplier, and is what was trained with.
    if (value == null || value === "auto" || value === usual) continue;
    if (name === "validation_share" || name === "learning_rate_multiplier") continue;
    form.values[name] = Array.isArray(value) ? value.join(" ") : plain(value);
  }
  form.suffix = job.user_provided_suffix ?? "";
  form.seed = plain(job.seed);
  form.priority = job.priority ? plain(job.priority) : "";
  form.gate = Object.entries(job.gate ?? {})
    .map(([name, condition]) => `${name}${condition}`)
    .join("\n");
  form.metadata = Object.entries(job.metadata ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
  form.prompt = job.baseline_prompt ?? "";
  form.grader = options?.grader ? JSON.stringify(options.grader, null, 2) : "";
  return form;
}

/** The fields of an object by name, those of inner objects as `lora.r`. */
export function flatten(given: object, prefix = ""): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(given).flatMap(([name, value]) =>
      value !== null && typeof value === "object" && !Array.isArray(value)
        ? Object.entries(flatten(value, `${prefix}${name}.`))
        : [[`${prefix}${name}`, value]],
    ),
  );
}

/** What is typed for a parameter; an empty text if nothing is. */
export function typed(form: TrainForm, name: string): string {
  return (form.values[name] ?? "").trim();
}

export interface Request {
  body: CreateFineTuningJob;
  wrong: Record<string, Wrong>;
}

/** The request that the form stands for, and what is wrong with the typed values, by field. */
export function toRequest(form: TrainForm): Request {
  const wrong: Record<string, Wrong> = {};
  const hyperparameters: Record<string, unknown> = {};
  for (const parameter of parameters[form.method]) {
    const { name } = parameter;
    if (name === "validation_share") continue;
    const value = readValue(parameter, typed(form, name));
    if (isWrong(value)) wrong[name] = value;
    else if (value !== undefined) put(hyperparameters, name, value);
  }
  if (form.heldOut === "share") {
    const share = readNumber(form.share);
    if (share !== null && share > 0 && share <= 0.5) hyperparameters["validation_share"] = share;
    else wrong["validation_share"] = { code: "range", min: "0", max: "0.5" };
  }
  const options: Record<string, unknown> = {};
  if (form.method === "reinforcement") options["grader"] = readGrader(form.grader, wrong);
  if (Object.keys(hyperparameters).length > 0) options["hyperparameters"] = hyperparameters;
  const body: CreateFineTuningJob = { model: form.model, training_file: form.file };
  if (form.heldOut === "file" && form.validationFile) body.validation_file = form.validationFile;
  if (form.mixed.length > 0) {
    body.mixed_files = form.mixed.map(({ file, weight }, index) => {
      const value = readNumber(weight);
      if (value === null) wrong[`mixed_files.${index}`] = { code: "number" };
      return { file, weight: value ?? 1 };
    });
  }
  body.method = { type: form.method, [form.method]: options } as CreateFineTuningJob["method"];
  if (form.suffix.trim()) body.suffix = form.suffix.trim();
  for (const name of ["seed", "priority"] as const) {
    if (!form[name].trim()) continue;
    const value = readNumber(form[name]);
    if (value === null || !Number.isInteger(value)) wrong[name] = { code: "whole" };
    else body[name] = value;
  }
  const gate = pairs(form.gate, /^(\w+)\s*([<>=!].*)$/, "gate", "condition", wrong);
  if (gate) body.gate = gate;
  const metadata = pairs(form.metadata, /^([^=]+?)\s*=\s*(.*)$/, "metadata", "pair", wrong);
  if (metadata) body.metadata = metadata;
  if (form.prompt.trim()) body.baseline_prompt = form.prompt;
  if (form.mlflow.trim()) {
    body.integrations = [{ type: "mlflow", mlflow: { experiment_name: form.mlflow.trim() } }];
  }
  return { body, wrong };
}

function put(target: Record<string, unknown>, name: string, value: unknown): void {
  const [first = "", rest] = name.split(".");
  if (rest === undefined) target[first] = value;
  else target[first] = { ...(target[first] as object | undefined), [rest]: value };
}

function readGrader(text: string, wrong: Record<string, Wrong>): unknown {
  try {
    return JSON.parse(text);
  } catch {
    if (text.trim()) wrong["grader"] = { code: "json" };
    return undefined;
  }
}

function pairs(
  text: string,
  form: RegExp,
  field: string,
  code: Wrong["code"],
  wrong: Record<string, Wrong>,
): Record<string, string> | null {
  const lines = text.split("\n").filter((line) => line.trim());
  const found = lines.map((line) => form.exec(line.trim()));
  if (found.includes(null)) wrong[field] = { code };
  const entries = found.flatMap((match) => (match ? [[match[1], match[2]]] : []));
  return entries.length > 0 ? Object.fromEntries(entries) : null;
}

/** The share of a file's rows to hold out, as `finetuned train` chooses it; null for none. */
export function usualShare(rows: number | null): string | null {
  if (rows === null || rows < 100) return null;
  return String(Math.max(0.1, Math.round((25 / rows) * 1000) / 1000));
}

/** The format of a file's rows; undefined if the service has not found it. */
export function formatOf(file: FileObject | undefined): string | undefined {
  return file?.found?.["row_format"] as string | undefined;
}

/** Whether an address names a file alone, such as that of a link: then the rest is chosen for it. */
export function isFileAlone(query: URLSearchParams): boolean {
  return query.has("file") && !query.has("share") && !query.has("validation");
}

/** Take a file as training data: its method, and rows held out if there are enough. */
export function chooseFile(form: TrainForm, file: FileObject): void {
  form.file = file.id;
  const format = formatOf(file);
  const method = METHODS.find((each) => ROWS_OF[each] === format);
  if (method) form.method = method;
  if (form.heldOut === "file" && form.validationFile) return;
  const share = method === "pretraining" ? null : usualShare(file.rows ?? null);
  form.heldOut = share ? "share" : "none";
  if (share) form.share = share;
}

/** The field of the form for the `param` of an error: `method.dpo.hyperparameters.beta` → `beta`. */
export function fieldOf(param: string | null): string | null {
  if (!param) return null;
  return param.replace(/^method\.\w+\.(hyperparameters\.)?/, "").replace(/^hyperparameters\./, "");
}
