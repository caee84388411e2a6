/**
 * Provides `virtual:parameters`: what the form of a training needs of openapi.json, which is too
 * large for a page. The parameters of each method with their help texts, types and limits, and the
 * help texts of the other fields of a request.
 */

import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import type { Parameter } from "virtual:parameters";

const ID = "virtual:parameters";

interface Schema {
  $ref?: string;
  type?: string;
  const?: string;
  enum?: string[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  description?: string;
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}
type Schemas = Record<string, Schema>;

/** Vite plugin that reads the parameters from openapi.json. */
export function parameters(openapi: string): Plugin {
  return {
    name: "parameters",
    resolveId(id) {
      return id === ID ? `\0${ID}` : null;
    },
    load(id) {
      if (id !== `\0${ID}`) return null;
      this.addWatchFile(openapi);
      return moduleOf(JSON.parse(readFileSync(openapi, "utf-8")).components.schemas);
    },
  };
}

function moduleOf(schemas: Schemas): string {
  // Most parameters are the same in all methods, and are written once.
  const shared: string[] = [];
  const methods = variants(schemas["FineTuningMethod"]?.properties?.["type"]).map((method) => {
    const options = resolve(schemas, schemas["FineTuningMethod"]?.properties?.[method]);
    const list = flat(schemas, resolve(schemas, options.properties?.["hyperparameters"]));
    const indexes = list.map((parameter) => {
      const text = JSON.stringify(parameter);
      if (!shared.includes(text)) shared.push(text);
      return `p[${shared.indexOf(text)}]`;
    });
    return `${method}: [${indexes.join(", ")}]`;
  });
  const fields = Object.entries(schemas["CreateFineTuningJob"]?.properties ?? {}).map(
    ([name, schema]) => [name, help(schema)],
  );
  return [
    `const p = [\n${shared.join(",\n")}\n];`,
    `export const parameters = { ${methods.join(", ")} };`,
    `export const fieldHelp = ${JSON.stringify(Object.fromEntries(fields))};`,
    "",
  ].join("\n");
}

/** The parameters of a schema; those of an object in it have a name such as `lora.r`. */
function flat(schemas: Schemas, schema: Schema, prefix = ""): Parameter[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, given]) => {
    const forms = given.anyOf ?? [given];
    const inner = forms.find((each) => each.$ref);
    if (inner) {
      const found = flat(schemas, resolve(schemas, inner), `${prefix}${name}.`);
      const isOptional = forms.some(({ type }) => type === "null");
      return isOptional ? found.map((each) => ({ ...each, partOf: name })) : found;
    }
    return [parameter(`${prefix}${name}`, given)];
  });
}

function parameter(name: string, schema: Schema): Parameter {
  const forms = schema.anyOf ?? [schema];
  const main = forms.find(({ const: fixed, type }) => fixed === undefined && type !== "null") ?? {};
  const isAuto = forms.some((form) => form.const === "auto");
  // A parameter that may be null takes its fixed word then: `all-linear`.
  const usual = schema.default ?? forms.find((form) => form.const && form.const !== "auto")?.const;
  return {
    name,
    kind: kindOf(main),
    help: help(schema),
    ...(isAuto && { isAuto }),
    ...(usual != null && { default: usual as string | number | boolean }),
    ...(main.enum && { options: main.enum }),
    ...(main.minimum !== undefined && { min: main.minimum }),
    ...(main.maximum !== undefined && { max: main.maximum }),
    ...(main.exclusiveMinimum !== undefined && { above: main.exclusiveMinimum }),
    ...(main.exclusiveMaximum !== undefined && { below: main.exclusiveMaximum }),
  };
}

function kindOf(schema: Schema): Parameter["kind"] {
  if (schema.enum) return "choice";
  switch (schema.type) {
    case "integer":
    case "number":
    case "boolean":
      return schema.type;
    case "array":
      return "names";
    default:
      return "text";
  }
}

/** The description without what the form shows in other ways. */
function help(schema: Schema): string {
  return (schema.description ?? "")
    .replace(/ ?Default: `auto`\./, "")
    .replace(/ ?Not part of OpenAI's API\./, "");
}

function variants(schema: Schema | undefined): string[] {
  return schema?.enum ?? [];
}

function resolve(schemas: Schemas, schema: Schema | undefined): Schema {
  const found = (schema?.anyOf ?? [schema]).find((each) => each?.$ref) ?? schema;
  if (!found?.$ref) return found ?? {};
  const name = found.$ref.split("/").at(-1) as string;
  const target = schemas[name];
  if (!target) throw new Error(`openapi.json has no schema ${name}.`);
  return target;
}
