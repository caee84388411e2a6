/**
 * Classes of the resources in openapi.json, with the names that OpenAI's SDK would give them.
 *
 * A path's words name the resource: `/fine_tuning/jobs` is `fineTuning.jobs`. Its verb and end name
 * the method: POST creates, GET on an id retrieves, GET of a list lists, and a singular word after
 * an id, such as `cancel`, is a method itself. The last id is an argument, and other ids are fields
 * of the next one. `NAMES` has the exceptions.
 */

import {
  commentOf,
  itemOfPage,
  membersOf,
  type OpenAPI,
  type Operation,
  type Parameter,
  type Schema,
  typeOf,
} from "./types.ts";

/** Routes whose names do not follow from their paths; null leaves one out. */
const NAMES: Record<string, [resource: string, method: string] | null> = {
  "POST /evals/{eval_id}/runs/{run_id}": null, // as POST …/cancel
  "GET /organization/usage/completions": ["admin.organization.usage", "completions"],
  "GET /fine_tuning/jobs/{job_id}/evaluation/labels/queue": [
    "fineTuning.jobs.evaluation.labels",
    "queue",
  ],
  "POST /fine_tuning/jobs/{job_id}/evaluation": ["fineTuning.jobs.evaluation", "restart"],
};

/** Words of paths that OpenAI's SDK names otherwise. */
const PARENTS: Record<string, string> = { organization: "admin.organization" };

interface Method {
  name: string;
  verb: string;
  path: string;
  operation: Operation;
}

class Resource {
  readonly children = new Map<string, Resource>();
  readonly methods: Method[] = [];
  readonly words: readonly string[];
  readonly #taken: ReadonlySet<string>;

  constructor(words: readonly string[], taken: ReadonlySet<string>) {
    this.words = words;
    this.#taken = taken;
  }

  /** Name of the class, such as `FineTuningJobs`. */
  get kind(): string {
    const words = this.words.filter((word) => word !== "admin" && word !== "organization");
    const name = (words.length ? words : this.words).map(pascal).join("");
    return this.#taken.has(name) ? `${name}Resource` : name;
  }

  at(words: readonly string[]): Resource {
    const [first, ...rest] = words;
    if (first === undefined) return this;
    const found = this.children.get(first) ?? new Resource([...this.words, first], this.#taken);
    this.children.set(first, found);
    return found.at(rest);
  }
}

/** Return the source of all classes, and the schemas that they use. */
export function resourcesOf(api: OpenAPI): { source: string; schemas: Schema[] } {
  const root = new Resource([], new Set(Object.keys(api.components.schemas)));
  const schemas: Schema[] = [];
  for (const [path, verbs] of Object.entries(api.paths)) {
    if (!path.startsWith("/v1/")) continue; // health checks
    for (const [verb, operation] of Object.entries(verbs)) {
      const method = { verb: verb.toUpperCase(), path: path.slice(3), operation };
      const place = placeOf(api, method);
      if (!place) continue;
      root.at(place.words).methods.push({ ...method, name: place.name });
    }
  }
  const kinds: string[] = [];
  const written = (resource: Resource): void => {
    for (const child of resource.children.values()) written(child);
    kinds.push(new Writer(api, resource, schemas).source());
  };
  written(root);
  return { source: [HEAD, ...kinds].join("\n"), schemas };
}

const HEAD = `/** Resources of the API. Generated from openapi.json by \`npm run generate\`. */

import { APIClient, APIResource, path, type RequestOptions } from "./core.js";
import type { APIPromise, PageParams, PagePromise } from "./promise.js";
import { type WatchOptions, watchEvents } from "./streams.js";
import type * as T from "./types.js";
import { pollOf, type WaitOptions, waitFor } from "./wait.js";
`;

const CREATE = "Create an object, and return it once it has ended. Check its `status`.";
const WAIT = "Return the object once it has ended. Check its `status`.";
const WATCH = "Yield its events as they happen, until the last one, across broken connections.";

/** Return the words of the resource and the name of the method for a route. */
function placeOf(
  api: OpenAPI,
  { verb, path, operation }: Omit<Method, "name">,
): { words: string[]; name: string } | null {
  const named = NAMES[`${verb} ${path}`];
  if (named === null) return null;
  if (named) return { words: named[0].split("."), name: named[1] };
  const parts = path.slice(1).split("/");
  const words = parts
    .filter((part) => !isParameter(part))
    .flatMap((word) => (PARENTS[word] ?? camel(word)).split("."));
  const last = parts.at(-1) ?? "";
  if (isParameter(last)) {
    return { words, name: { GET: "retrieve", DELETE: "delete", PUT: "set" }[verb] ?? "update" };
  }
  const hasItems = Object.keys(api.paths).some((other) => other.startsWith(`/v1${path}/`));
  const isPlural = last.endsWith("s");
  const isAlone = !hasItems && Object.keys(api.paths[`/v1${path}`] ?? {}).length === 1;
  if (last === "events") return { words: words.slice(0, -1), name: "listEvents" };
  const isList = operation.operationId.startsWith("list") || pageItem(api, operation);
  if (verb === "GET" && isList) {
    return { words, name: "list" };
  }
  if (verb === "DELETE") return { words, name: isPlural ? "deleteAll" : "delete" };
  if (isAlone && !(verb === "POST" && isPlural)) {
    return { words: words.slice(0, -1), name: words.at(-1) ?? "" };
  }
  return { words, name: verb === "GET" ? "retrieve" : "create" };
}

class Writer {
  readonly #params: string[] = [];
  readonly api: OpenAPI;
  readonly resource: Resource;
  readonly schemas: Schema[];

  constructor(api: OpenAPI, resource: Resource, schemas: Schema[]) {
    this.api = api;
    this.resource = resource;
    this.schemas = schemas;
  }

  /** Return the class, after the interfaces of its parameters. */
  source(): string {
    const { children, methods, kind, words } = this.resource;
    const owner = words.length ? "this.client" : "this";
    const properties = [...children].map(
      ([name, { kind }]) => `  readonly ${name} = new ${kind}(${owner});\n`,
    );
    const written = methods.map((method) => this.#method(method, owner));
    const members = [...(properties.length ? [properties.join("")] : []), ...written].join("\n");
    const head = words.length
      ? `export class ${kind} extends APIResource {`
      : "/** Client with the resources that only call routes. */\nexport class Resources extends APIClient {";
    return [...this.#params, `${head}\n${members}}\n`].join("\n");
  }

  #method(method: Method, owner: string): string {
    const { operation, verb, path: route, name } = method;
    const { kind } = this.resource;
    const parameters = (operation.parameters ?? []).map((one) => this.#resolved(one));
    const ids = [...route.matchAll(/\{(\w+)\}/g)].map(([, id = ""]) => id);
    const last = ids.at(-1);
    const others = ids.slice(0, -1);
    const typeOfId = (id: string) => {
      const found = parameters.find(({ name, in: place }) => place === "path" && name === id);
      return found?.schema.type === "integer" ? "number" : "string";
    };
    const query = parameters.filter(
      ({ in: place, name }) => place === "query" && name !== "stream",
    );
    const isRepeatable = parameters.some(({ name }) => name.toLowerCase() === "idempotency-key");
    const [media = "", { schema: body } = {}] =
      Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
    const isForm = media.startsWith("multipart/");

    const types: string[] = [];
    if (others.length) types.push(`{ ${others.map((id) => `${id}: ${typeOfId(id)}`).join("; ")} }`);
    let isRequired = others.length > 0;
    if (body) {
      this.schemas.push(body);
      const { required } = operation.requestBody ?? {};
      const isOptional = body.anyOf?.some(({ type }) => type === "null") || !required;
      isRequired ||= !isOptional;
      const filled = body.anyOf
        ? { ...body, anyOf: body.anyOf.filter(({ type }) => type !== "null") }
        : body;
      const streams = Object.hasOwn(this.#properties(filled), "stream");
      const type = filled.properties
        ? this.#named(`${kind}${pascal(name)}Params`, filled)
        : typeOf(filled, "T.", "  ");
      types.push(streams ? `${type} & { stream?: false | null }` : type);
    } else if (query.length) {
      this.schemas.push(...query.map(({ schema }) => schema));
      isRequired ||= query.some(({ required }) => required);
      types.push(this.#named(`${kind}${pascal(name)}Params`, schemaOf(query)));
    }
    const args = [
      ...(last ? [`${camel(last)}: ${typeOfId(last)}`] : []),
      ...(types.length ? [`params${isRequired ? "" : "?"}: ${types.join(" & ")}`] : []),
      "options?: RequestOptions",
    ];
    const filled = body ? (isForm ? "form" : "body") : query.length ? "query" : "";
    const rest = others.length && types.length > 1 ? "rest" : "params";
    const given = [
      ...(filled ? [`${filled}: ${rest}`] : []),
      ...(isRepeatable ? ["repeatable: true"] : []),
      "...options",
    ];
    const target = pathOf(route, last, others);
    const called = given.length > 1 ? `{ ${given.join(", ")} }` : "options";
    const { call, type } = this.#answer(verb, operation);
    const taken = others.length
      ? `    const { ${[...others, ...(rest === "rest" ? ["...rest"] : [])].join(", ")} } = params;\n`
      : "";
    const comment = commentOf({ description: summaryOf(operation) }, "  ");
    const written = `${comment}  ${name}(${args.join(", ")}): ${type} {\n${taken}    return ${owner}.${call}(${target}, ${called});\n  }\n`;
    return [
      written,
      ...this.#more(method, new Set(parameters.map(({ name }) => name)), target, args),
    ].join("\n");
  }

  /** Return methods that build on a route: `wait` on retrieving, `watch` on a stream of events. */
  #more(
    { verb, name, operation }: Method,
    names: Set<string>,
    target: string,
    args: string[],
  ): string[] {
    const schema = jsonOf(operation);
    const [id = "", params = ""] = args;
    if (name === "create" && this.#isOperation && schema) {
      const type = typeOf(schema, "T.");
      return [
        `${commentOf({ description: CREATE }, "  ")}  async createAndWait(${id}, options?: WaitOptions<${type}> & RequestOptions): Promise<${type}> {\n` +
          "    const { id } = await this.create(params, options);\n    return this.wait(id, options);\n  }\n",
      ];
    }
    if (verb !== "GET" || !target.startsWith("path")) return [];
    const ids = params.startsWith("params:") ? [id, params] : [id];
    const asked = ids.map((arg) => arg.split(/\W/)[0]).join(", ");
    if (name === "listEvents" && names.has("stream")) {
      const item = typeOf(itemOfPage(this.api, schema) ?? {}, "T.");
      return [
        `${commentOf({ description: WATCH }, "  ")}  watch(${id}, options?: WatchOptions): AsyncGenerator<${item}, void, undefined> {\n` +
          `    return watchEvents(this.client, ${target}, options);\n  }\n`,
      ];
    }
    const hasWait = names.has("wait");
    if (name !== "retrieve" || !schema?.$ref || !(hasWait || this.#isWork(schema))) return [];
    const type = typeOf(schema, "T.");
    return [
      `${commentOf({ description: WAIT }, "  ")}  wait(${ids.join(", ")}, options?: WaitOptions<${type}>): Promise<${type}> {\n` +
        `    return waitFor((request${hasWait ? ", wait" : ""}) => this.retrieve(${asked}, ${hasWait ? "{ wait }, pollOf(wait, request)" : "request"}), options);\n  }\n`,
    ];
  }

  /** Declare an interface of parameters, and return its name. */
  #named(name: string, schema: Schema): string {
    const { after, limit, ...properties } = schema.properties ?? {};
    const isPaged = after && limit;
    const head = isPaged ? `${name} extends PageParams` : name;
    const members = membersOf(isPaged ? { ...schema, properties } : schema, "T.");
    this.#params.push(`export interface ${head} {\n${members}}\n`);
    return name;
  }

  /** Whether the service can wait for the resource's objects. */
  get #isOperation(): boolean {
    return this.resource.methods.some(
      ({ name, operation }) =>
        name === "retrieve" &&
        operation.parameters?.some((one) => this.#resolved(one).name === "wait"),
    );
  }

  /** Return whether the object has a status that says that it has not ended. */
  #isWork(schema: Schema): boolean {
    const { status } = this.#properties(schema);
    const names = status ? JSON.stringify(this.#deref(status)) : "";
    return /"(queued|in_progress|running)"/.test(names);
  }

  #answer(verb: string, operation: Operation): { call: string; type: string } {
    const media = Object.keys(successOf(operation).content ?? {});
    const isJson = media.every((one) => one === "application/json" || one === "text/event-stream");
    const schema = jsonOf(operation) ?? {};
    if (!isJson) {
      this.schemas.push(schema);
      return { call: "getContent", type: "APIPromise<Response>" };
    }
    const item = itemOfPage(this.api, schema);
    if (item && verb === "GET") {
      this.schemas.push(item);
      return { call: "getPage", type: `PagePromise<${typeOf(item, "T.")}>` };
    }
    this.schemas.push(schema);
    const type = item ? `{ data: ${typeOf(item, "T.")}[] }` : typeOf(schema, "T.", "  ");
    return { call: verb.toLowerCase(), type: `APIPromise<${type}>` };
  }

  #properties(schema: Schema): Record<string, Schema> {
    return this.#deref(schema).properties ?? {};
  }

  #deref(schema: Schema): Schema {
    const name = schema.$ref?.split("/").at(-1);
    return (name && this.api.components.schemas[name]) || schema;
  }

  #resolved(parameter: Parameter): Parameter {
    const name = parameter.$ref?.split("/").at(-1);
    return (name && this.api.components.parameters?.[name]) || parameter;
  }
}

/** Return query parameters as the schema of an object. Null is the same as omitting one. */
function schemaOf(query: Parameter[]): Schema {
  const properties = query.map(({ name, schema, description }): [string, Schema] => {
    const anyOf = schema.anyOf?.filter(({ type }) => type !== "null");
    const described = description ? { description } : {};
    return [name, { ...schema, ...(anyOf ? { anyOf } : {}), ...described }];
  });
  const required = query.filter((one) => one.required).map((one) => one.name);
  return { properties: Object.fromEntries(properties), required };
}

function pathOf(route: string, last: string | undefined, others: string[]): string {
  if (!last) return JSON.stringify(route);
  const names = route.replace(/\{(\w+)\}/g, (_, id: string) =>
    others.includes(id) ? `\${${id}}` : `\${${camel(id)}}`,
  );
  return `path\`${names}\``;
}

function successOf(operation: Operation): Operation["responses"][string] {
  const [, found = {}] =
    Object.entries(operation.responses).find(([status]) => status[0] === "2") ?? [];
  return found;
}

function jsonOf(operation: Operation): Schema | undefined {
  return successOf(operation).content?.["application/json"]?.schema;
}

function pageItem(api: OpenAPI, operation: Operation): Schema | undefined {
  return itemOfPage(api, jsonOf(operation));
}

/** Return the first paragraph of the description, or the summary. */
function summaryOf({ summary, description }: Operation): string {
  const [first = ""] = (description ?? "").split("\n\n");
  return first && !first.startsWith("Required permission") ? first : `${summary ?? ""}.`;
}

function isParameter(part: string): boolean {
  return part.startsWith("{");
}

function camel(name: string): string {
  return name.replace(/[_-](\w)/g, (_, letter: string) => letter.toUpperCase());
}

function pascal(name: string): string {
  const found = camel(name);
  return found.charAt(0).toUpperCase() + found.slice(1);
}
