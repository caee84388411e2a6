/** Events of jobs in words: from their codes and figures, where they have some. */

import type { FineTuningJobEvent } from "@finetuned/client";
import { bytes, t, textOf } from "#lib/i18n.svelte.ts";
import { reasonText } from "#lib/train/estimates.ts";

/** An event's sentence. `lang` is "en" if it is the service's own. */
export interface Words {
  text: string;
  lang?: "en";
}

const COLUMNS = ["base", "prompt", "tuned"];

export function wordsOf({ data, level, message }: FineTuningJobEvent): Words {
  // Other warnings and errors say more than their codes: the file, the figure, how to fix it.
  const own = level === "info" || WARNINGS.includes(String(data.code)) ? localized(data) : null;
  return own ?? { text: message, lang: "en" };
}
const WARNINGS = ["attempt_lost", "awaits_memory", "awaits_model", "gpu_failed", "gpu_unavailable"];
const SIZES = ["needed", "available", "bytes"];

function localized(data: FineTuningJobEvent["data"]): Words | null {
  const { code, step } = data;
  if (code === "evaluation") return evaluation(data);
  if (code === "setting") return setting(data);
  const { total_steps: total, examples: rows } = data;
  if (typeof total === "number" && typeof rows === "number") {
    return { text: t("jobs.event.started", { total, rows }) };
  }
  if (typeof code !== "string") {
    return typeof step === "number" && Object.keys(data).length === 1
      ? { text: t("jobs.event.checkpoint", { step }) }
      : null;
  }
  const figures = Object.entries({ available: "–", ...data }).map(([name, value]) => [
    name,
    SIZES.includes(name) && typeof value === "number" ? bytes(value) : value,
  ]);
  const text = textOf(`jobs.event_code.${code}`, Object.fromEntries(figures));
  return text === null ? null : { text };
}

function setting({
  parameter,
  value,
  reason,
  ...figures
}: FineTuningJobEvent["data"]): Words | null {
  const why = reasonText(String(reason), { value, ...figures });
  if (why === null) return null;
  const given = { parameter: String(parameter), value: String(value), reason: why };
  return { text: t("jobs.event.setting", given) };
}

function evaluation({ column, answered, rows, gate }: FineTuningJobEvent["data"]): Words | null {
  if (gate === "passed") return { text: t("jobs.event.gate_passed") };
  if (typeof rows !== "number") return null;
  if (typeof column !== "string" || typeof answered !== "number") {
    return { text: t("jobs.event.evaluation_started", { rows }) };
  }
  const known = COLUMNS.includes(column) ? textOf(`jobs.column.${column}`) : column;
  return { text: t("jobs.event.answered", { column: known ?? column, answered, rows }) };
}
