/** Checks of JSON that a person types: tools, schemas and results; and of answers by a schema. */

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

/**
 * Where a value breaks a JSON Schema, as paths such as `items[2].price`. Checks what answers usually
 * get wrong: type, required, enum, const, additionalProperties, minimum, maximum. Null if it is no JSON.
 */
export function faultsOfAnswer(text: string, schema: string): string[] | null {
  try {
    return check(parsed(text), parsed(schema), "");
  } catch {
    return null;
  }
}

function check(value: unknown, schema: unknown, path: string): string[] {
  if (!isObject(schema)) return [];
  const here = path || "$";
  const types = [schema.type].flat().filter((type) => typeof type === "string");
  if (types.length > 0 && !types.some((type) => isOfType(value, type as string))) return [here];
  const options = "const" in schema ? [schema.const] : schema.enum;
  if (Array.isArray(options)) {
    const written = JSON.stringify(value);
    if (!options.some((option) => JSON.stringify(option) === written)) return [here];
  }
  if (typeof value === "number") {
    if (typeof schema.minimum === "number" && value < schema.minimum) return [here];
    if (typeof schema.maximum === "number" && value > schema.maximum) return [here];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => check(item, schema.items, `${path}[${index}]`));
  }
  if (!isObject(value)) return [];
  const properties = isObject(schema.properties) ? schema.properties : {};
  const join = (name: string) => (path ? `${path}.${name}` : name);
  const required = Array.isArray(schema.required) ? (schema.required as string[]) : [];
  const missing = required.filter((name) => !(name in value)).map(join);
  return Object.entries(value).reduce((faults, [name, item]) => {
    if (name in properties) return [...faults, ...check(item, properties[name], join(name))];
    return schema.additionalProperties === false ? [...faults, join(name)] : faults;
  }, missing);
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "object":
      return isObject(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "null":
      return value === null;
    default:
      return typeof value === type;
  }
}
