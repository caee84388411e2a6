import { sveltekit } from "@sveltejs/kit/vite";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { licenses } from "./scripts/licenses.ts";
import { messages } from "./scripts/messages.ts";
import { parameters } from "./scripts/parameters.ts";
import { announcerWithoutInlineStyle, staticConsole } from "./scripts/page.ts";
import packageJson from "./package.json" with { type: "json" };

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  plugins: [
    messages(here("src")),
    parameters(here("../../openapi.json")),
    announcerWithoutInlineStyle(),
    licenses(),
    sveltekit({
      adapter: staticConsole(here("../../service/console/static")),
      paths: { base: "/console", relative: false },
      // Deterministic, so that a fresh build equals the committed one.
      version: { name: packageJson.version, pollInterval: 0 },
    }),
  ],
  resolve: {
    alias: { "@finetuned/client": here("../typescript/src/index.ts") },
  },
  // `modulepreload` polyfills are for browsers that the console does not support.
  build: { target: "es2022", modulePreload: { polyfill: false }, chunkSizeWarningLimit: 200 },
  server: {
    fs: { allow: [here("../typescript"), here("../../examples"), here(".")] },
    proxy: {
      "/v1": process.env.FINETUNED_BASE_URL ?? "http://127.0.0.1:8000",
      "/openapi.json": process.env.FINETUNED_BASE_URL ?? "http://127.0.0.1:8000",
      "/livez": process.env.FINETUNED_BASE_URL ?? "http://127.0.0.1:8000",
    },
  },
});
