/** Checks of JSON that a person types: tools, schemas and results; and of answers by a schema. */

import { Validator, type Schema } from "@cfworker/json-schema";

/** Where something is wrong, and what: a code with a text under `playground.json`. */
export interface JsonFault {
  code: "syntax" | "not_list" | "not_object" | "not_function" | "no_name" | "parameters" | "twice";
  at: string;
}

export function parsed(text: string): unknown {
  return JSON.parse(text) as unknown;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function read(text: string): { value: unknown } | { fault: JsonFault } {
  try {
    return { value: parsed(text) };
  } catch (error) {
    // "Unexpected token } in JSON at position 12 (line 2 column 3)"
    const message = error instanceof Error ? error.message : "";
    const place = /line (\d+)/.exec(message)?.[1] ?? lineOf(text, message);
    return { fault: { code: "syntax", at: place } };
  }
}

function lineOf(text: string, message: string): string {
  const position = /position (\d+)/.exec(message)?.[1];
  const end = position === undefined ? text.length : Number(position);
  return String(text.slice(0, end).split("\n").length);
}

export function faultsOfTools(text: string): JsonFault[] {
  if (!text.trim()) return [];
  const found = read(text);
  if ("fault" in found) return [found.fault];
  if (!Array.isArray(found.value)) return [{ code: "not_list", at: "" }];
  const names = new Set<string>();
  return found.value.flatMap((tool: unknown, index): JsonFault[] => {
    const at = String(index + 1);
    if (!isObject(tool) || tool.type !== "function" || !isObject(tool.function)) {
      return [{ code: "not_function", at }];
    }
    const { name, parameters } = tool.function;
    if (typeof name !== "string" || !/^[\w-]{1,64}$/.test(name)) return [{ code: "no_name", at }];
    if (parameters !== undefined && !isObject(parameters)) return [{ code: "parameters", at }];
    if (names.has(name)) return [{ code: "twice", at }];
    names.add(name);
    return [];
  });
}

export function faultsOfSchema(text: string): JsonFault[] {
  if (!text.trim()) return [];
  const found = read(text);
  if ("fault" in found) return [found.fault];
  return isObject(found.value) ? [] : [{ code: "not_object", at: "" }];
}

/** Where an answer breaks a JSON Schema, as JSON pointers such as `/items/2/price`. Null if it is no JSON. */
export function faultsOfAnswer(text: string, schema: string): string[] | null {
  try {
    const validator = new Validator(parsed(schema) as Schema, "2020-12", false);
    const { errors } = validator.validate(parsed(text));
    const places = errors.map(({ instanceLocation }) => instanceLocation.slice(1) || "/");
    // An error of an inner value is also one of those around it.
    return [...new Set(places)].filter((place) => {
      return !places.some((other) => other !== place && other.startsWith(place));
    });
  } catch {
    return null;
  }
}
