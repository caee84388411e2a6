/** A request as code: exactly what [Start training] would send. Secrets are placeholders. */

import type { Request } from "./form.ts";

export type Syntax = "python" | "typescript" | "curl" | "yaml";
export const SYNTAXES: readonly Syntax[] = ["python", "typescript", "curl", "yaml"];

export function codeOf(request: Request, syntax: Syntax, address: string): string {
  const { body } = request;
  switch (syntax) {
    case "python":
      return python(body, address);
    case "typescript":
      return typescript(body, address);
    case "curl":
      return curl(body, address);
    case "yaml":
      return yaml(body, address);
  }
}

function python(body: object, address: string): string {
  const fields = Object.entries(body).map(
    ([name, value]) => `    ${name}=${literal(value, PYTHON, 1)},`,
  );
  return [
    "import finetuned",
    "",
    "# The API key is read from FINETUNED_API_KEY.",
    `client = finetuned.Client(base_url=${JSON.stringify(address)})`,
    "",
    "job = client.fine_tuning.jobs.create(",
    ...fields,
    ")",
    "print(job.id)",
    "",
  ].join("\n");
}

function typescript(body: object, address: string): string {
  return [
    'import { Finetuned } from "@finetuned/client";',
    "",
    "// The API key is read from FINETUNED_API_KEY.",
    `const client = new Finetuned({ baseURL: ${JSON.stringify(address)} });`,
    "",
    `const job = await client.fineTuning.jobs.create(${literal(body, TYPESCRIPT, 0)});`,
    "console.log(job.id);",
    "",
  ].join("\n");
}

function curl(body: object, address: string): string {
  return [
    `curl ${address}/v1/fine_tuning/jobs \\`,
    '  -H "Authorization: Bearer $FINETUNED_API_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    "  -d @- <<'JSON'",
    JSON.stringify(body, null, 2),
    "JSON",
    "",
  ].join("\n");
}

function yaml(body: object, address: string): string {
  return [
    "# Save as job.yaml, then: finetuned jobs create job.yaml",
    `# Server: ${address} (FINETUNED_BASE_URL, or \`finetuned login\`)`,
    ...yamlLines(body, ""),
    "",
  ].join("\n");
}

interface Notation {
  key: (name: string) => string;
  none: string;
  yes: string;
  no: string;
}
const PYTHON: Notation = { key: JSON.stringify, none: "None", yes: "True", no: "False" };
const TYPESCRIPT: Notation = {
  key: (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name)),
  none: "null",
  yes: "true",
  no: "false",
};
const WIDTH = 60;

/** A JSON value as a literal of a language: on one line if it is short. */
function literal(value: unknown, notation: Notation, depth: number): string {
  if (value === null) return notation.none;
  if (typeof value === "boolean") return value ? notation.yes : notation.no;
  if (typeof value !== "object") return JSON.stringify(value);
  const isList = Array.isArray(value);
  const [open, close] = isList ? "[]" : "{}";
  const items = isList
    ? value.map((item) => literal(item, notation, depth + 1))
    : Object.entries(value).map(
        ([name, item]) => `${notation.key(name)}: ${literal(item, notation, depth + 1)}`,
      );
  const isTop = depth === 0;
  const space = notation === TYPESCRIPT && !isList && items.length > 0 ? " " : "";
  const line = `${open}${space}${items.join(", ")}${space}${close}`;
  if (!isTop && line.length <= WIDTH - depth * 4 && !line.includes("\n")) return line;
  const indent = (notation === PYTHON ? "    " : "  ").repeat(depth + 1);
  const end = indent.slice(notation === PYTHON ? 4 : 2);
  return `${open}\n${items.map((item) => `${indent}${item},\n`).join("")}${end}${close}`;
}

/** Lines of a JSON object in YAML. Strings are quoted as in JSON, which YAML contains. */
function yamlLines(value: object, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item) => {
      if (item === null || typeof item !== "object") return [`${indent}- ${yamlScalar(item)}`];
      const [first = "", ...rest] = yamlLines(item, `${indent}  `);
      return [`${indent}- ${first.trimStart()}`, ...rest];
    });
  }
  return Object.entries(value).flatMap(([name, item]) => {
    const key = /^\w+$/.test(name) && !/^(true|false|null|yes|no|on|off|\d+)$/i.test(name);
    const start = `${indent}${key ? name : JSON.stringify(name)}:`;
    if (item === null || typeof item !== "object") return [`${start} ${yamlScalar(item)}`];
    if (Object.keys(item).length === 0) return [`${start} ${Array.isArray(item) ? "[]" : "{}"}`];
    return [start, ...yamlLines(item, `${indent}  `)];
  });
}

function yamlScalar(value: unknown): string {
  // YAML 1.1 reads 1e-05 as a text: it wants a dot.
  if (typeof value === "number") return String(value).replace(/^(-?\d+)e/, "$1.0e");
  const isPlain = typeof value === "string" && /^[A-Za-z][\w./-]*$/.test(value);
  const isWord = isPlain && /^(true|false|null|yes|no|on|off|y|n)$/i.test(value);
  return isPlain && !isWord ? value : JSON.stringify(value);
}
