import { expect, test } from "vitest";
import {
  aliasHistory,
  ConflictError,
  deleteAlias,
  getAlias,
  listAliases,
  NotFoundError,
  rollbackAlias,
  setAlias,
} from "../src/index.js";
import { BASE_MODEL, service } from "./support.js";

const OTHER_MODEL = process.env.FINETUNED_TEST_OTHER_MODEL ?? "other-base";

test("an alias is set, split, rolled back and removed", async () => {
  const client = service();
  const name = "team/support:live";
  const made = await setAlias(client, name, BASE_MODEL, { isNew: true });
  expect(made).toMatchObject({ id: name, generation: 1 });
  const split = [
    { model: BASE_MODEL, weight: 90 },
    { model: OTHER_MODEL, weight: 10 },
  ];
  await setAlias(client, name, split, { etag: made.etag });
  expect((await getAlias(client, name)).targets).toEqual(split);
  const back = await rollbackAlias(client, name);
  expect(back.targets).toEqual([{ model: BASE_MODEL, weight: 100 }]);
  expect((await aliasHistory(client, name)).map((change) => change.action)).toEqual([
    "rollback",
    "set",
    "set",
  ]);
  await deleteAlias(client, name, { etag: back.etag });
  await expect(getAlias(client, name)).rejects.toThrow(NotFoundError);
});

test("a concurrent change is a conflict", async () => {
  const client = service();
  const { etag } = await setAlias(client, "raced", BASE_MODEL);
  await setAlias(client, "raced", OTHER_MODEL);
  const refused = await setAlias(client, "raced", BASE_MODEL, { etag }).catch((error) => error);
  expect(refused).toBeInstanceOf(ConflictError);
  expect(refused).toMatchObject({ status: 412, code: "precondition_failed" });
  await expect(setAlias(client, "raced", BASE_MODEL, { isNew: true })).rejects.toThrow(
    ConflictError,
  );
});

test("a gate is set, kept and removed", async () => {
  const client = service();
  const gate = { chrf_gain: ">=5", memorized: "==0" };
  expect((await setAlias(client, "gated", BASE_MODEL, { gate })).gate).toEqual(gate);
  const moved = await setAlias(client, "gated", OTHER_MODEL, { force: true });
  expect(moved.gate).toEqual(gate);
  expect((await aliasHistory(client, "gated")).map((change) => change.forced)).toEqual([
    false, // a base model passes every gate
    false,
  ]);
  expect((await setAlias(client, "gated", OTHER_MODEL, { gate: {} })).gate).toEqual({});
  await expect(setAlias(client, "gated", BASE_MODEL, { gate: { gain: "5" } })).rejects.toThrow(
    "such as '>=5'",
  );
});

test("all aliases are listed, across pages", async () => {
  const client = service();
  const names = Array.from({ length: 101 }, (_, i) => `many-${i}`);
  for (const name of names) await setAlias(client, name, BASE_MODEL);
  const seen: string[] = [];
  for await (const alias of listAliases(client)) seen.push(alias.id);
  expect(seen).toEqual(expect.arrayContaining(names));
  expect(new Set(seen).size).toBe(seen.length);
});
