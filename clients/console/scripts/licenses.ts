/** Writes `licenses.txt`: the license of each library whose code is in the built console. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Plugin } from "vite";

export function licenses(): Plugin {
  return {
    name: "licenses",
    applyToEnvironment: ({ name }) => name === "client",
    generateBundle(_, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const [id, { renderedLength }] of Object.entries(chunk.modules)) {
          const folder = renderedLength > 0 ? packageOf(id) : null;
          if (folder) folders.add(folder);
        }
      }
      const texts = [...folders].map(noticeOf).sort();
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.join("\n\n") });
    },
  };
}

/** The folder of the package that a module belongs to, or null for the console's own. */
function packageOf(id: string): string | null {
  if (!id.includes("/node_modules/")) return null;
  let folder = dirname(id.replace(/^\0/, "").replace(/\?.*$/, ""));
  while (!folder.endsWith("/node_modules") && folder !== "/") {
    const manifest = join(folder, "package.json");
    // Packages have manifests without a name in inner folders.
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf-8")).name) return folder;
    folder = dirname(folder);
  }
  return null;
}

function noticeOf(folder: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf-8"));
  const { name, version, license } = manifest as Record<string, string>;
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const text = file ? readFileSync(join(folder, file), "utf-8").trim() : "";
  return `${name} ${version} (${license})\n${"=".repeat(60)}\n${text}\n`;
}
