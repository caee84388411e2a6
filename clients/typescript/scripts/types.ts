/** TypeScript types of the schemas in openapi.json. */

export interface Schema {
  $ref?: string;
  type?: string | string[];
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  prefixItems?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  format?: string;
  description?: string;
  default?: unknown;
  deprecated?: boolean;
}

export interface Parameter {
  $ref?: string;
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  schema: Schema;
  description?: string;
}

export interface Operation {
  operationId: string;
  summary?: string;
  description?: string;
  deprecated?: boolean;
  parameters?: Parameter[];
  requestBody?: { required?: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { $ref?: string; content?: Record<string, { schema: Schema }> }>;
}

export interface OpenAPI {
  paths: Record<string, Record<string, Operation>>;
  webhooks?: Record<string, unknown>;
  components: { schemas: Record<string, Schema>; parameters?: Record<string, Parameter> };
}

const REF = "#/components/schemas/";
const LINE = 120;

/** Return the source of a type. Schemas of components are named with the prefix. */
export function typeOf(schema: Schema, prefix = "", indent = ""): string {
  const of = (inner: Schema) => typeOf(inner, prefix, indent);
  if (schema.$ref) return prefix + schema.$ref.replace(REF, "");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return union(choices.map(of));
  if (schema.allOf) return schema.allOf.map(of).join(" & ");
  if (Array.isArray(schema.type)) {
    return union(schema.type.map((type) => of({ ...schema, type })));
  }
  switch (schema.type) {
    case "string":
      return schema.format === "binary" ? "Blob" : "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "null":
      return "null";
    case "array":
      if (schema.prefixItems) return `[${schema.prefixItems.map(of).join(", ")}]`;
      return arrayOf(of(schema.items ?? {}));
    case "object":
      return objectOf(schema, prefix, indent);
    default:
      return schema.properties ? objectOf(schema, prefix, indent) : "unknown";
  }
}

function union(types: string[]): string {
  const unique = [...new Set(types)];
  return unique.includes("unknown") ? "unknown" : unique.join(" | ");
}

function arrayOf(item: string): string {
  return / [|&] /.test(item) && !item.startsWith("{") ? `(${item})[]` : `${item}[]`;
}

function objectOf(schema: Schema, prefix: string, indent: string): string {
  const { properties, additionalProperties: more } = schema;
  const value = typeof more === "object" ? typeOf(more, prefix, indent) : "unknown";
  if (!properties) return `Record<string, ${value}>`;
  return `{\n${membersOf(schema, prefix, `${indent}  `)}${indent}}`;
}

/** Return the members of an interface, one a line, with their descriptions. */
export function membersOf(schema: Schema, prefix = "", indent = "  "): string {
  const required = new Set(schema.required);
  const members = Object.entries(schema.properties ?? {}).map(([name, inner]) => {
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
    const optional = required.has(name) ? "" : "?";
    const type = typeOf(inner, prefix, indent);
    const comment = name === "object" && inner.const ? "" : commentOf(inner, indent);
    return `${comment}${indent}${key}${optional}: ${type};\n`;
  });
  if (schema.additionalProperties === true) members.push(`${indent}[key: string]: unknown;\n`);
  return members.join("");
}

/** Return the doc comment of a schema, or an empty string. */
export function commentOf(
  { description, default: given, const: fixed, deprecated }: Schema,
  indent = "",
): string {
  const text = (description ?? "").replaceAll("*/", "*\\/").replace(/\s*\n(?!\n)\s*/g, "\n");
  const isKnown = fixed !== undefined || /default/i.test(text);
  const isShort =
    !isKnown && ["boolean", "number", "string"].includes(typeof given) && given !== "";
  const told = isShort ? `${text} Default: \`${given}\`.`.trim() : text;
  const lines = [
    ...told.split("\n\n").flatMap((part, at) => [...(at ? [""] : []), ...wrapped(part)]),
    ...(deprecated ? ["@deprecated"] : []),
  ].filter((line, at) => line || at);
  if (lines.length === 0) return "";
  const [first = ""] = lines;
  if (lines.length === 1 && indent.length + first.length + 7 <= LINE) {
    return `${indent}/** ${first} */\n`;
  }
  const body = lines.map((line) => `${indent} * ${line}`.trimEnd());
  return `${indent}/**\n${body.join("\n")}\n${indent} */\n`;
}

/** Break a paragraph into lines. Lists keep theirs. */
function wrapped(text: string): string[] {
  return text
    .split(/\n(?=[-*|] )/)
    .flatMap((part) => part.replaceAll("\n", " ").match(/\S.{0,108}(?= |$)/g) ?? []);
}

/** Return whether a schema is a page of a list: its pages are `Page` objects. */
export function itemOfPage(api: OpenAPI, schema: Schema | undefined): Schema | undefined {
  const found = schema?.$ref ? api.components.schemas[schema.$ref.replace(REF, "")] : schema;
  const { data, has_more: more } = found?.properties ?? {};
  return more ? data?.items : undefined;
}

/** Return the names of all schemas that these values refer to, and that those refer to. */
export function referencedBy(api: OpenAPI, values: readonly unknown[]): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key !== "$ref" || typeof inner !== "string" || !inner.startsWith(REF)) visit(inner);
      else if (!found.has(inner.slice(REF.length))) {
        found.add(inner.slice(REF.length));
        visit(api.components.schemas[inner.slice(REF.length)]);
      }
    }
  };
  for (const value of values) visit(value);
  return found;
}

/** Return the source of the named types, in the order of openapi.json. */
export function typesOf(api: OpenAPI, names: ReadonlySet<string>): string {
  const declared = Object.entries(api.components.schemas)
    .filter(([name]) => names.has(name))
    .map(([name, schema]) => {
      const [description = ""] = (schema.description ?? "").split("\n\n");
      const comment = commentOf({ description });
      if (schema.properties) return `${comment}export interface ${name} {\n${membersOf(schema)}}\n`;
      return `${comment}export type ${name} = ${typeOf(schema)};\n`;
    });
  const head = "/** Types of the API. Generated from openapi.json by `npm run generate`. */\n";
  return `${[head, ...declared].join("\n")}`;
}
