/** What a strict content security policy requires of the built page: no inline script or style. */

import adapterStatic from "@sveltejs/adapter-static";
import type { Adapter } from "@sveltejs/kit";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Write the console to a folder as static files, with its start script in a file of its own. */
export function staticConsole(folder: string): Adapter {
  const inner = adapterStatic({ pages: folder, fallback: "index.html" });
  return {
    name: "static-console",
    async adapt(builder) {
      await inner.adapt(builder);
      const page = join(folder, "index.html");
      const html = readFileSync(page, "utf-8");
      const scripts = [...html.matchAll(/<script>([\s\S]*?)<\/script>/g)];
      const [inline] = scripts;
      if (scripts.length !== 1 || inline?.[1] === undefined) {
        throw new Error(`Expected one inline script in ${page}, found ${scripts.length}.`);
      }
      // A classic script, since it reads `document.currentScript`.
      writeFileSync(join(folder, "boot.js"), inline[1].replace(/^\t+/gm, "").trimStart());
      const source = '<script src="/console/boot.js"></script>';
      writeFileSync(page, html.replace(inline[0], source).replace(/^[\t ]+/gm, ""));
    },
  };
}

/** Remove the inline style of SvelteKit's live region; `app.css` hides it instead. */
export function announcerWithoutInlineStyle(): Plugin {
  return {
    name: "announcer-without-inline-style",
    enforce: "pre",
    transform(code, id) {
      if (!code.includes('id="svelte-announcer"')) return null;
      const changed = code.replace(/(id="svelte-announcer"[^>]*?)\sstyle="[^"]*"/, "$1");
      if (changed === code) throw new Error(`No style found in ${id}.`);
      return { code: changed, map: null };
    },
  };
}
