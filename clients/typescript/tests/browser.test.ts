/** A page of another origin, in a real browser, against the real service. */

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BASE_MODEL, chats, service } from "./support.js";

const executablePath = process.env.FINETUNED_CHROMIUM;
const port = Number(process.env.FINETUNED_TEST_PAGE_PORT);
const folder = fileURLToPath(new URL("page", import.meta.url));
const closing: (() => unknown)[] = [];
let script: string;

beforeAll(async () => {
  if (!executablePath) return;
  const bundle = { bundle: true, format: "esm", write: false } as const;
  const made = await build({ entryPoints: [`${folder}/page.ts`], ...bundle });
  script = made.outputFiles[0]?.text ?? "";
  const server = createServer((asked, answer) => {
    const isScript = asked.url === "/page.js";
    answer.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    answer.end(isScript ? script : readFileSync(`${folder}/index.html`));
  });
  await new Promise<void>((ready, failed) => {
    server.once("error", failed).listen(port, "127.0.0.1", ready);
  });
  closing.push(() => server.close());
});
afterAll(() => Promise.all(closing.map((close) => close())));

async function opened(): Promise<Page> {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
  args.push("--disable-background-networking", "--disable-component-update", "--disable-sync");
  const browser = await chromium.launch({ executablePath: executablePath ?? "", args });
  closing.unshift(() => browser.close());
  const page = await browser.newPage();
  const { apiKey } = service().openaiOptions();
  const settings = { baseURL: service().baseURL, apiKey, model: BASE_MODEL };
  await page.addInitScript((given) => Object.assign(globalThis, { settings: given }), settings);
  await page.goto(`http://127.0.0.1:${port}/`);
  return page;
}

test.skipIf(!executablePath)("a page uploads in parts and watches a job", async () => {
  const page = await opened();
  const file = chats(3000, "browser");
  const buffer = Buffer.from(await file.arrayBuffer());
  await page.setInputFiles("input", { name: file.name, mimeType: file.type, buffer });
  const output = page.locator("output");
  await expect.poll(() => output.textContent(), { timeout: 200_000 }).not.toBe("");
  expect(await output.textContent()).toMatch(/^done file-/);

  const seen: number[] = await page.evaluate("seen");
  expect(seen.length).toBe(1 + Math.ceil(file.size / (64 * 1024)));
  expect(seen.length).toBeGreaterThan(5);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(seen.at(-1)).toBe(1);
  const messages = await page.locator("li").allTextContents();
  expect(messages[0]).toMatch(/^Created fine-tuning job/);
  expect(messages.at(-1)).toBe("The job was cancelled");

  const id = (await output.textContent())?.split(" ")[1];
  const content = await service().files.content(id ?? "");
  expect(Buffer.compare(Buffer.from(await content.arrayBuffer()), buffer)).toBe(0);
});
