import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

const folder = fileURLToPath(new URL("..", import.meta.url));

/** Bundle one import from the built package, as a web page's bundler does. */
async function bundled(code: string): Promise<{ text: string; modules: string[] }> {
  const made = await build({
    stdin: { contents: code, resolveDir: folder },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const [output] = Object.values(made.metafile.outputs);
  const used = Object.entries(output?.inputs ?? {}).filter(([, part]) => part.bytesInOutput > 0);
  return { text: made.outputFiles[0]?.text ?? "", modules: used.map(([path]) => path) };
}

test("a page gets only what it imports", async () => {
  const watching = await bundled(
    'import { Finetuned, watchJob } from "@finetuned/client"; console.log(Finetuned, watchJob);',
  );
  expect(watching.modules).toContain("dist/jobs.js");
  expect(watching.modules).not.toContain("dist/uploads.js");
  expect(watching.modules.filter((path) => /md5|sha2|tar/.test(path))).toEqual([]);
  expect(watching.text).not.toContain("/v1/uploads");

  const uploading = await bundled(
    'import { upload } from "@finetuned/client"; console.log(upload);',
  );
  expect(uploading.text).toContain("/v1/uploads");
  expect(uploading.modules).toContain("dist/md5.js");
  expect(uploading.modules).not.toContain("dist/jobs.js");
});

test("the browser entry contains no Node code", async () => {
  // esbuild fails on a Node module if the platform is a browser.
  const all = await bundled('export * from "@finetuned/client";');
  expect(all.modules).toContain("dist/aliases.js");
  await expect(bundled('export * from "@finetuned/client/node";')).rejects.toThrow(/node:fs/);
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
