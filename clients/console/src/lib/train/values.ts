/** Values of parameters as a person types them, and as a request has them. */

import type { Parameter } from "virtual:parameters";

export type Value = string | number | boolean | string[];

/** Why a typed value is wrong: a code with a text under `train.wrong`, and the limits. */
export interface Wrong {
  code: "number" | "whole" | "range" | "json" | "condition" | "pair";
  min?: string;
  max?: string;
}

/** Return a number as requests write it: with a dot, without separators of groups. */
export function plain(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

/** Read a number. A comma is accepted as the decimal sign: `0,1`, `1e-4`. */
export function readNumber(text: string): number | null {
  const trimmed = text.normalize("NFKC").trim();
  const dotted = trimmed.includes(".") ? trimmed : trimmed.replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(dotted) ? Number(dotted) : null;
}

/** Write a typed number with a dot, as requests and code have it. Other texts are unchanged. */
export function withDot(parameter: Parameter, text: string): string {
  const isNumber = parameter.kind === "number" || parameter.kind === "integer";
  return isNumber && readNumber(text) !== null ? text.replace(",", ".") : text;
}

/** Read a typed value. An empty text or `auto` is undefined: the service chooses. */
export function readValue(parameter: Parameter, text: string): Value | Wrong | undefined {
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "auto") return undefined;
  switch (parameter.kind) {
    case "integer":
    case "number": {
      const value = readNumber(trimmed);
      if (value === null) return { code: "number" };
      if (parameter.kind === "integer" && !Number.isInteger(value)) return { code: "whole" };
      const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = parameter;
      if (value < min || value > max || value <= above || value >= below) {
        const [low, high] = [parameter.min ?? parameter.above, parameter.max ?? parameter.below];
        return { code: "range", min: plain(low), max: plain(high) };
      }
      return value;
    }
    case "boolean":
      return trimmed === "true";
    case "names": {
      const names = trimmed.split(/[\s,、，]+/).filter(Boolean);
      return names.length === 1 && names[0] === "all-linear" ? "all-linear" : names;
    }
    default:
      return trimmed;
  }
}

export function isWrong(value: Value | Wrong | undefined): value is Wrong {
  return typeof value === "object" && !Array.isArray(value);
}
