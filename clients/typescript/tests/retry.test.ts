import { expect, test } from "vitest";
import { backoffMs, isRepeatable, retryAfterMs, retryDelayMs } from "../src/retry.js";

const answer = (status: number, headers: Record<string, string> = {}) =>
  new Response(null, { status, headers });

test("delays grow, vary and have a limit", () => {
  const many = Array.from({ length: 50 }, () => backoffMs(2));
  expect(Math.min(...many)).toBeGreaterThanOrEqual(500);
  expect(Math.max(...many)).toBeLessThanOrEqual(1000);
  expect(new Set(many).size).toBeGreaterThan(40);
  expect(backoffMs(5000)).toBeLessThanOrEqual(8000);
});

test("delays are at least what the service requests", () => {
  expect(retryDelayMs(answer(429, { "retry-after": "7" }), 0, false)).toBeGreaterThanOrEqual(7000);
  expect(retryDelayMs(answer(429, { "retry-after": "3600" }), 0, true)).toBeNull();
  const after = (value: string) => retryAfterMs(new Headers({ "retry-after": value }));
  expect(after(new Date(Date.now() + 5000).toUTCString())).toBeGreaterThan(3000);
  expect(after("soon")).toBeNull();
  expect(retryAfterMs(new Headers({ "retry-after-ms": "20" }))).toBe(20);
});

test.each([408, 429, 500, 502, 503, 504])("the status %i is retried", (status) => {
  expect(retryDelayMs(answer(status), 0, true)).not.toBeNull();
});

test.each([400, 404, 409, 412, 501, 507])("the status %i is not retried", (status) => {
  expect(retryDelayMs(answer(status), 0, true)).toBeNull();
  const asked = answer(status, { "x-should-retry": "true" });
  expect(retryDelayMs(asked, 0, true)).not.toBeNull();
  expect(retryDelayMs(asked, 0, false)).toBeNull();
});

test.each([
  ["GET", {}, true],
  ["PUT", {}, true],
  ["DELETE", {}, true],
  ["PUT", { "if-match": '"a"' }, false],
  ["PUT", { "if-none-match": "*" }, false],
  ["DELETE", { "if-match": '"a"' }, false],
  ["POST", { "idempotency-key": "a" }, false], // only the routes that read the key say otherwise
] as const)("%s with %o may be repeated: %s", (method, headers, may) => {
  expect(isRepeatable(method, new Headers(headers))).toBe(may);
});
