import { expect, test } from "vitest";
import { NotFoundError, PreconditionFailedError } from "../src/index.js";
import { BASE_MODEL, service } from "./support.js";

const OTHER_MODEL = process.env.FINETUNED_TEST_OTHER_MODEL ?? "other-base";

test("an alias is set, split, rolled back and removed", async () => {
  const { aliases } = service();
  const name = "team/support:live";
  const made = await aliases.set(name, { model: BASE_MODEL }, { ifNoneMatch: "*" });
  expect(made).toMatchObject({ id: name, generation: 1 });
  const targets = [
    { model: BASE_MODEL, weight: 90 },
    { model: OTHER_MODEL, weight: 10 },
  ];
  await aliases.set(name, { targets }, { ifMatch: made.etag });
  expect((await aliases.retrieve(name)).targets).toEqual(targets);
  const back = await aliases.rollback(name);
  expect(back.targets).toEqual([{ model: BASE_MODEL, weight: 100 }]);
  expect((await aliases.history.list(name)).data.map((change) => change.action)).toEqual([
    "rollback",
    "set",
    "set",
  ]);
  await aliases.delete(name, { ifMatch: back.etag });
  await expect(aliases.retrieve(name)).rejects.toThrow(NotFoundError);
});

test("a concurrent change is a conflict", async () => {
  const { aliases } = service();
  const { etag } = await aliases.set("raced", { model: BASE_MODEL });
  await aliases.set("raced", { model: OTHER_MODEL });
  const refused = await aliases
    .set("raced", { model: BASE_MODEL }, { ifMatch: etag })
    .catch((error) => error);
  expect(refused).toBeInstanceOf(PreconditionFailedError);
  expect(refused).toMatchObject({ status: 412, code: "precondition_failed" });
  const again = aliases.set("raced", { model: BASE_MODEL }, { ifNoneMatch: "*" });
  await expect(again).rejects.toThrow(PreconditionFailedError);
});

test("a gate is set, kept and removed", async () => {
  const { aliases } = service();
  const gate = { chrf_gain: ">=5", memorized: "==0" };
  expect((await aliases.set("gated", { model: BASE_MODEL, gate })).gate).toEqual(gate);
  const moved = await aliases.set("gated", { model: OTHER_MODEL, force: true });
  expect(moved.gate).toEqual(gate);
  expect((await aliases.history.list("gated")).data.map((change) => change.forced)).toEqual([
    false, // a base model passes every gate
    false,
  ]);
  expect((await aliases.set("gated", { model: OTHER_MODEL, gate: {} })).gate).toEqual({});
  const unclear = aliases.set("gated", { model: BASE_MODEL, gate: { gain: "5" } });
  await expect(unclear).rejects.toThrow("such as '>=5'");
});

test("all aliases are listed, across pages", async () => {
  const { aliases } = service();
  const names = Array.from({ length: 101 }, (_, i) => `many-${i}`);
  for (const name of names) await aliases.set(name, { model: BASE_MODEL });
  const seen: string[] = [];
  for await (const alias of aliases.list({ limit: 100 })) seen.push(alias.id);
  expect(seen).toEqual(expect.arrayContaining(names));
  expect(new Set(seen).size).toBe(seen.length);
});
