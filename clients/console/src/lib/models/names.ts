/** Names and kinds of models. */

import type { Model } from "@finetuned/client";

export type ModelKind = "base" | "trained" | "imported" | "alias" | "shared";

/** What a model is, to a person of the project `project`. */
export function kindOf(model: Model, project: string | undefined): ModelKind {
  if (model.alias_of) return "alias";
  if (!model.base_model) return "base";
  if (project !== undefined && model.owned_by !== project) return "shared";
  return model.origin ? "imported" : "trained";
}

/** The parts of a trained model's name: `ft:base:project:suffix:id`, and `:ckpt-step-12`. */
export interface NameParts {
  base: string;
  project: string;
  suffix: string;
  id: string;
  step: number | null;
}

export function partsOf(name: string): NameParts | null {
  const found = /^ft:(.+):([^:]*):([^:]*):([^:]+?)(?::ckpt-step-(\d+))?$/.exec(name);
  if (!found) return null;
  const [, base = "", project = "", suffix = "", id = "", step] = found;
  return { base, project, suffix, id, step: step === undefined ? null : Number(step) };
}

/** A name that fits into a narrow place: the suffix of a trained model and the start of its ID. */
export function shortName(name: string): string {
  const parts = partsOf(name);
  if (!parts) return name;
  const title = parts.suffix || parts.base;
  const step = parts.step === null ? "" : ` @${parts.step}`;
  return `${title} ${parts.id.slice(0, 4)}${step}`;
}

/** Name of the trained model that a checkpoint belongs to, or the name itself. */
export function modelOfCheckpoint(name: string): string {
  return name.replace(/:ckpt-step-\d+$/, "");
}

export function modelHref(name: string): string {
  return `/console/models/${encodeURIComponent(name)}`;
}

export function aliasHref(name: string): string {
  return `/console/aliases/${encodeURIComponent(name)}`;
}

export function chatHref(name: string): string {
  return `/console/playground?model=${encodeURIComponent(name)}`;
}
