import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

const folder = fileURLToPath(new URL("..", import.meta.url));

/** Bundle a program that uses the built package, as a web page's bundler does. */
async function bundled(code: string): Promise<{ first: string; modules: string[] }> {
  const made = await build({
    stdin: { contents: code, resolveDir: folder },
    bundle: true,
    splitting: true,
    outdir: "out",
    format: "esm",
    platform: "browser",
    minify: true,
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const first = made.outputFiles.find(({ path }) => path.endsWith("stdin.js"))?.text ?? "";
  const [, output] =
    Object.entries(made.metafile.outputs).find(([path]) => path.endsWith("stdin.js")) ?? [];
  const files = [
    output,
    ...(output?.imports ?? []).filter(({ kind }) => kind !== "dynamic-import"),
  ];
  const inputs = files.flatMap((file) => {
    const found = file && "path" in file ? made.metafile.outputs[file.path] : file;
    return Object.keys(found?.inputs ?? {});
  });
  return { first, modules: inputs };
}

test("a page loads digests and uploads only when it uses them", async () => {
  const page = await bundled('import OpenAI from "@finetuned/client"; console.log(OpenAI);');
  expect(page.modules).toContain("dist/resources.js");
  expect(page.modules.filter((path) => /md5|sha2|tar|uploads|types/.test(path))).toEqual([]);
  expect(page.first.length).toBeLessThan(40_000);
});

test("the browser entry contains no Node code", async () => {
  // esbuild fails on a Node module if the platform is a browser.
  await bundled('export * from "@finetuned/client";');
  await expect(bundled('export * from "@finetuned/client/node";')).rejects.toThrow(/node:fs/);
});

test("the types stay small, so that an editor stays quick", () => {
  const types = readdirSync(`${folder}/dist`).filter((name) => name.endsWith(".d.ts"));
  const bytes = types.map((name) => statSync(`${folder}/dist/${name}`).size);
  expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThan(380_000);
});

test("only what users need is packed", () => {
  const npm = process.env.npm_execpath ?? "npm";
  const [command, first] = npm.endsWith(".js") ? [process.execPath, [npm]] : [npm, []];
  const words = [...first, "pack", "--dry-run", "--json", "--ignore-scripts"];
  const output = JSON.parse(execFileSync(command, words, { cwd: folder, encoding: "utf8" }));
  // An array of packages in older versions of npm, an object by name in newer.
  const [packed] = Object.values(output) as { files: { path: string }[] }[];
  const paths = packed?.files.map((file) => file.path) ?? [];
  const others = paths.filter((path) => !/^dist\/[a-z0-9]+\.(?:js|d\.ts)$/.test(path));
  expect(others.sort()).toEqual(["LICENSE", "README.md", "package.json"]);
  expect(paths).toEqual(
    expect.arrayContaining(["dist/index.js", "dist/index.d.ts", "dist/node.js"]),
  );
});

test("the lock file names no registry", () => {
  const lock = readFileSync(`${folder}/package-lock.json`, "utf8");
  expect(lock).not.toContain('"resolved"');
  expect(lock).toContain('"integrity"');
});
