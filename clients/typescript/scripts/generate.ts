/**
 * Writes src/types.ts and src/resources.ts from openapi.json.
 *
 *     node scripts/generate.ts            writes both files
 *     node scripts/generate.ts --check    fails if they differ from what would be written
 *
 * Own code, because the types are what an editor reads at each keystroke: one interface per schema
 * takes a third of the bytes of openapi-typescript's indexed types, and shows its name in hints.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { resourcesOf } from "./resources.ts";
import { type OpenAPI, referencedBy, typesOf } from "./types.ts";

const at = (name: string) => new URL(name, import.meta.url);
const api = JSON.parse(readFileSync(at("../../../openapi.json"), "utf8")) as OpenAPI;
const resources = resourcesOf(api);
const webhooks = Object.values(api.webhooks ?? {});
const used = referencedBy(api, [...resources.schemas, ...webhooks]);
const files = { "../src/types.ts": typesOf(api, used), "../src/resources.ts": resources.source };

for (const [name, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) writeFileSync(at(name), text);
  else if (readFileSync(at(name), "utf8") !== text) {
    throw new Error(`${at(name).pathname} is stale: run \`npm run generate\`.`);
  }
}
