/**
 * Compiles the message catalogs in src/messages, and checks them. A language is one chunk, and a
 * second one with the texts of the admin area, which few people open: the first load has a budget.
 *
 * A catalog is `src/messages/{language}/{area}.json`: keys and texts in ICU MessageFormat. The key
 * `rows` in `data.json` is used as `t("data.rows", { count })`. English defines the keys. The build
 * fails if a language lacks a key or has another one, if the arguments differ, or if no source uses
 * a key. Keys that are built are found by their beginning: t(`jobs.status.${status}`).
 */

import { parse, TYPE, type MessageFormatElement } from "@formatjs/icu-messageformat-parser";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Plugin } from "vite";

const BASE = "en";
const PREFIX = "virtual:messages/";
const ADMIN = "/admin";

type Catalog = Map<string, MessageFormatElement[]>;

/** Vite plugin that provides `virtual:messages/{language}`. */
export function messages(source: string): Plugin {
  const folder = join(source, "messages");
  return {
    name: "messages",
    buildStart() {
      const faults = check(source);
      if (faults.length === 0) return;
      const text = `Message catalogs:\n  ${faults.join("\n  ")}`;
      if (this.meta.watchMode) this.warn(text);
      else this.error(text);
    },
    configureServer(server) {
      server.watcher.add(folder);
      server.watcher.on("change", (file) => {
        if (!file.startsWith(folder)) return;
        try {
          writeTypes(source);
        } catch (error) {
          server.config.logger.error(String(error)); // half-written, as when an editor saves
          return;
        }
        for (const language of languages(folder)) {
          for (const part of ["", ADMIN]) {
            const module = server.moduleGraph.getModuleById(`\0${PREFIX}${language}${part}`);
            if (module) server.moduleGraph.invalidateModule(module);
          }
        }
        server.ws.send({ type: "full-reload" });
      });
    },
    resolveId(id) {
      return id.startsWith(PREFIX) ? `\0${id}` : null;
    },
    load(id) {
      if (!id.startsWith(`\0${PREFIX}`)) return null;
      const name = id.slice(PREFIX.length + 1);
      const isAdmin = name.endsWith(ADMIN);
      const catalog = read(folder, isAdmin ? name.slice(0, -ADMIN.length) : name);
      return moduleOf(
        new Map([...catalog].filter(([key]) => key.startsWith("admin.") === isAdmin)),
      );
    },
  };
}

function languages(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

function read(folder: string, language: string): Catalog {
  const catalog: Catalog = new Map();
  for (const file of readdirSync(join(folder, language)).sort()) {
    const area = file.replace(/\.json$/, "");
    const texts = JSON.parse(readFileSync(join(folder, language, file), "utf-8"));
    for (const [key, text] of Object.entries(texts as Record<string, string>)) {
      try {
        catalog.set(`${area}.${key}`, parse(text, { ignoreTag: true }));
      } catch (cause) {
        throw new Error(`${language}/${file}: the text of "${key}" is invalid.`, { cause });
      }
    }
  }
  return catalog;
}

/** The module of a catalog: a text is a string, or a function of its arguments and a formatter. */
function moduleOf(catalog: Catalog): string {
  const lines = [...catalog].map(([key, elements]) => {
    const [only, ...more] = elements;
    const plain = more.length === 0 && (only === undefined || only.type === TYPE.literal);
    const value = plain
      ? JSON.stringify(only === undefined ? "" : (only as { value: string }).value)
      : `(a, f) => ${expression(elements)}`;
    return `${JSON.stringify(key)}: ${value}`;
  });
  return `export default {\n${lines.join(",\n")}\n};\n`;
}

function expression(elements: MessageFormatElement[], counted?: string): string {
  const parts = elements.map((element) => {
    switch (element.type) {
      case TYPE.literal:
        return JSON.stringify(element.value);
      case TYPE.argument:
        return `f.text(a.${element.value})`;
      case TYPE.number:
        return `f.number(a.${element.value})`;
      case TYPE.pound:
        return `f.number(${counted})`;
      case TYPE.plural:
      case TYPE.select: {
        const value = `a.${element.value}`;
        const isPlural = element.type === TYPE.plural;
        const options = Object.entries(element.options)
          .map(([name, option]) => {
            return `${JSON.stringify(name)}: () => ${expression(option.value, isPlural ? value : counted)}`;
          })
          .join(", ");
        return `f.${isPlural ? "plural" : "select"}(${value}, { ${options} })`;
      }
      default:
        throw new Error(`Dates and tags are not supported in messages (type ${element.type}).`);
    }
  });
  return parts.length === 0 ? '""' : parts.join(" + ");
}

/** The arguments of a message, with the types that they must have. */
function argumentsOf(elements: MessageFormatElement[], found = new Map<string, string>()) {
  for (const element of elements) {
    if (element.type === TYPE.argument && !found.has(element.value)) {
      found.set(element.value, "string | number");
    }
    if (element.type === TYPE.number) found.set(element.value, "number");
    if (element.type === TYPE.plural || element.type === TYPE.select) {
      found.set(element.value, element.type === TYPE.plural ? "number" : "string");
      for (const option of Object.values(element.options)) argumentsOf(option.value, found);
    }
  }
  return found;
}

function signature(elements: MessageFormatElement[]): string {
  return [...argumentsOf(elements)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, type]) => `${name}: ${type}`)
    .join("; ");
}

/** Return all faults of the catalogs. */
export function check(source: string): string[] {
  const folder = join(source, "messages");
  const base = read(folder, BASE);
  const faults: string[] = [];
  for (const language of languages(folder)) {
    if (language === BASE) continue;
    const catalog = read(folder, language);
    for (const [key, elements] of base) {
      const other = catalog.get(key);
      if (other === undefined) faults.push(`${language}: "${key}" is missing.`);
      else {
        const [wanted, given] = [argumentsOf(elements), argumentsOf(other)].map((each) =>
          [...each.keys()].sort().join(", "),
        );
        if (wanted !== given) {
          faults.push(`${language}: "${key}" has the arguments (${given}), not (${wanted}).`);
        }
      }
    }
    for (const key of catalog.keys()) {
      if (!base.has(key)) faults.push(`${language}: "${key}" is not in ${BASE}.`);
    }
  }
  const sources = readdirSync(source, { recursive: true, encoding: "utf-8" })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.endsWith(".d.ts"))
    .map((name) => readFileSync(join(source, name), "utf-8"))
    .join("\n");
  const used = new Set([...sources.matchAll(/["'`]([a-z_]+\.[\w.]+)["'`]/g)].map((m) => m[1]));
  const beginnings = [...sources.matchAll(/`([a-z_]+\.[\w.]*)\$\{/g)].map((m) => m[1] ?? "");
  for (const key of base.keys()) {
    if (!used.has(key) && !beginnings.some((beginning) => key.startsWith(beginning))) {
      faults.push(`${BASE}: no source uses "${key}".`);
    }
  }
  return faults;
}

/** Write the types of all keys and their arguments, which `t` checks. */
export function writeTypes(source: string): void {
  const base = read(join(source, "messages"), BASE);
  const lines = [...base].map(([key, elements]) => {
    const given = signature(elements);
    return `  ${JSON.stringify(key)}: ${given ? `{ ${given} }` : "null"};`;
  });
  const text = `// Written by scripts/messages.ts.\nexport interface Messages {\n${lines.join("\n")}\n}\n`;
  writeFileSync(join(source, "messages", "keys.d.ts"), text);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const source = new URL("../src", import.meta.url).pathname;
  writeTypes(source);
  const faults = check(source);
  process.stderr.write(faults.map((fault) => `${fault}\n`).join(""));
  process.exitCode = faults.length === 0 ? 0 : 1;
}
