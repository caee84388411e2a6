/** Commands for the archive of an export, as its README has them. */

import type { ModelExport } from "@finetuned/client";

/** A model's name as software accepts it: lowercase letters, digits and hyphens. */
export function servedName(model: string): string {
  const name = model.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return name.replace(/^-+|-+$/g, "").slice(0, 100) || "tuned";
}

function unpack({ result }: ModelExport): string {
  const archive = result?.filename ?? "";
  const folder = archive.replace(/\.tar$/, "");
  return `mkdir ${folder}\ntar -xf ${archive} -C ${folder}\ncd ${folder}`;
}

export function loadCommands(each: ModelExport, model: string): string {
  const name = servedName(model);
  const file = `model-${each.quantization ?? "f16"}.gguf`;
  const use: Record<string, string> = {
    ollama: `ollama create ${name} -f Modelfile\nollama run ${name}`,
    gguf: `llama-server --model ${file} --jinja --alias ${name}`,
    "gguf-adapter": `llama-server --model BASE_MODEL.gguf --lora adapter.gguf --jinja --alias ${name}`,
    merged: `vllm serve . --served-model-name ${name}`,
    adapter: `vllm serve BASE_MODEL --enable-lora --lora-modules ${name}=.`,
  };
  return `${unpack(each)}\n${use[each.format] ?? "cat README.md"}`;
}

export function verifyCommands({ result }: ModelExport): string {
  const archive = result?.filename ?? "";
  const folder = archive.replace(/\.tar$/, "");
  return [
    `echo "${result?.sha256 ?? ""}  ${archive}" | sha256sum --check`,
    "pip install model-signing pyopenssl",
    `model_signing verify key --public_key signing-key.pub --signature ${folder}/model.sig ${folder}`,
  ].join("\n");
}
