/** The scenario in an edge runtime, which has web APIs and nothing of Node. */

import { fileURLToPath } from "node:url";
import { EdgeVM } from "@edge-runtime/vm";
import { build } from "esbuild";
import { expect, test } from "vitest";
import { BASE_MODEL, service } from "./support.js";

test("the client works in an edge runtime", async () => {
  const made = await build({
    entryPoints: [fileURLToPath(new URL("runtimes/scenario.mjs", import.meta.url))],
    bundle: true,
    format: "iife",
    globalName: "program",
    write: false,
  });
  const edge = new EdgeVM();
  expect(edge.evaluate("typeof process + typeof require + typeof Buffer")).not.toContain(
    "function",
  );
  edge.evaluate(made.outputFiles[0]?.text ?? "");
  const { baseURL, apiKey } = service().openaiOptions();
  const settings = JSON.stringify({ baseURL, apiKey, model: BASE_MODEL });
  const seen = await edge.evaluate(`program.scenario(${settings})`);
  expect(seen).toMatchObject({ rows: 20, isSame: true, status: "cancelled", isNotFound: true });
  expect(seen.events.at(-1)).toBe("The job was cancelled");
  expect(seen.listed).toEqual(seen.events);
  expect(seen.models).toContain(BASE_MODEL);
});
