// Runs the scenario, and an upload from a path, in this version of Node. Prints JSON.

import { fileURLToPath } from "node:url";
import { Finetuned } from "@finetuned/client";
import { uploadPath } from "@finetuned/client/node";
import { scenario } from "./scenario.mjs";

const { FINETUNED_BASE_URL: baseURL, FINETUNED_API_KEY: apiKey } = process.env;
const seen = await scenario({ baseURL, apiKey, model: process.env.FINETUNED_TEST_MODEL });
const path = fileURLToPath(import.meta.url);
const uploaded = await uploadPath(new Finetuned(), path, { purpose: "user_data" });
const told = { ...seen, node: process.versions.node, uploaded: uploaded.filename };
process.stdout.write(JSON.stringify(told));
