import { expect, test } from "vitest";
import { delayMs, isRepeatable, retryAfterMs } from "../src/retry.js";

test("delays grow, vary and have a limit", () => {
  const many = Array.from({ length: 50 }, () => delayMs(2) ?? 0);
  expect(Math.min(...many)).toBeGreaterThanOrEqual(1000);
  expect(Math.max(...many)).toBeLessThanOrEqual(2000);
  expect(new Set(many).size).toBeGreaterThan(40);
  expect(delayMs(50)).toBeLessThanOrEqual(8000);
});

test("delays are at least what the service requests", () => {
  const asked = (value: string) => new Response(null, { headers: { "retry-after": value } });
  expect(delayMs(0, asked("7"))).toBeGreaterThanOrEqual(7000);
  expect(delayMs(0, asked("3600"))).toBeNull();
  expect(retryAfterMs(new Date(Date.now() + 5000).toUTCString())).toBeGreaterThan(3000);
  expect(retryAfterMs("soon")).toBeNull();
});

test.each([
  ["GET", {}, true],
  ["PUT", {}, true],
  ["PUT", { "if-match": '"a"' }, false],
  ["PUT", { "if-none-match": "*" }, false],
  ["POST", {}, false],
  ["DELETE", {}, false],
  ["POST", { "idempotency-key": "a" }, true],
] as const)("%s with %o may be repeated: %s", (method, headers, may) => {
  expect(isRepeatable(method, new Headers(headers))).toBe(may);
});
