/** Reads items of an eval from a file, and guesses their schema. */

export type Item = Record<string, unknown>;
export interface Read {
  /** Lines as the API takes them. */
  lines: { item: Item; sample?: unknown }[];
  schema: Record<string, unknown>;
  fields: string[];
  /** Whether each line has an answer, so that none needs to be sampled. */
  hasSamples: boolean;
}

/** Why a file could not be read: a code with a text under `evals.file_fault`, and the line. */
export class FileFault extends Error {
  constructor(
    readonly code: "not_json" | "not_object" | "empty" | "too_many",
    readonly line: number,
  ) {
    super(code);
  }
}

const MOST_ITEMS = 10_000;

/** Read JSON lines, a JSON array, or CSV with a header. Lines without `item` are items themselves. */
export function readItems(text: string, name: string): Read {
  const objects = /\.csv$/i.test(name) ? csvObjects(text) : jsonObjects(text);
  if (objects.length === 0) throw new FileFault("empty", 1);
  if (objects.length > MOST_ITEMS) throw new FileFault("too_many", MOST_ITEMS + 1);
  const lines = objects.map((object) => {
    const { item, sample } = object;
    if (!isObject(item)) return { item: object };
    return sample === undefined ? { item } : { item, sample };
  });
  const schema = guessSchema(lines.map(({ item }) => item));
  return {
    lines,
    schema,
    fields: Object.keys(lines[0]?.item ?? {}),
    hasSamples: lines.every((line) => "sample" in line),
  };
}

function isObject(value: unknown): value is Item {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function jsonObjects(text: string): Item[] {
  const trimmed = text.replace(/^\ufeff/, "").trim();
  const values = trimmed.startsWith("[")
    ? [parsed(trimmed, 1)].flat()
    : trimmed
        .split("\n")
        .map((line, index) => ({ line, number: index + 1 }))
        .filter(({ line }) => line.trim() !== "")
        .map(({ line, number }) => parsed(line, number));
  return values.map((value, index) => {
    if (!isObject(value)) throw new FileFault("not_object", index + 1);
    return value;
  });
}

function parsed(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new FileFault("not_json", line);
  }
}

/** Rows of a CSV file as objects by the names of its header. */
function csvObjects(text: string): Item[] {
  const rows: string[][] = [];
  let [row, field, isQuoted] = [[] as string[], "", false];
  const start = text.replace(/^\ufeff/, "");
  const separator = (start.split("\n", 1)[0] ?? "").includes(";") ? ";" : ",";
  for (let at = 0; at < start.length; at++) {
    const char = start[at] as string;
    if (isQuoted) {
      if (char !== '"') field += char;
      else if (start[at + 1] === '"') [field, at] = [field + '"', at + 1];
      else isQuoted = false;
    } else if (char === '"' && field === "") isQuoted = true;
    else if (char === separator) [field] = ["", row.push(field)];
    else if (char === "\n") {
      row.push(field.replace(/\r$/, ""));
      rows.push(row);
      [row, field] = [[], ""];
    } else field += char;
  }
  if (field !== "" || row.length > 0) rows.push([...row, field.replace(/\r$/, "")]);
  const [header = [], ...body] = rows.filter((cells) => cells.some((cell) => cell !== ""));
  return body.map((cells) =>
    Object.fromEntries(header.map((name, index) => [name, cells[index] ?? ""])),
  );
}

/** A JSON Schema that all items match: fields that all have are required. */
export function guessSchema(items: readonly Item[]): Record<string, unknown> {
  const [first = {}] = items;
  const properties: Record<string, unknown> = {};
  for (const name of Object.keys(first)) {
    const types = new Set(items.filter((item) => name in item).map((item) => typeOf(item[name])));
    if (types.has("integer") && types.has("number")) types.delete("integer");
    properties[name] = types.size === 1 ? { type: [...types][0] } : { type: [...types] };
  }
  const required = Object.keys(first).filter((name) => items.every((item) => name in item));
  return { type: "object", properties, required };
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}
