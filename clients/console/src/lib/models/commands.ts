/** Commands for the archive of an export, as its README has them. */

import type { ModelExport } from "@finetuned/client";

/** A model's name as software accepts it: lowercase letters, digits and hyphens. */
export function servedName(model: string): string {
  const name = model.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return name.replace(/^-+|-+$/g, "").slice(0, 100) || "tuned";
}

export function loadCommands(each: ModelExport, model: string): string {
  const name = servedName(model);
  const file = `model-${each.quantization ?? "f16"}.gguf`;
  const use: Record<string, string> = {
    ollama: `ollama create ${name} -f Modelfile\nollama run ${name}`,
    gguf: `llama-server --model ${file} --jinja --alias ${name}`,
    "gguf-adapter": `llama-server --model BASE_MODEL.gguf --lora adapter.gguf --jinja --alias ${name}`,
    merged: `vllm serve . --served-model-name ${name}`,
    adapter: `vllm serve BASE_MODEL --enable-lora --max-lora-rank 64 --lora-modules ${name}=.`,
  };
  // The archive has one folder, named after the export.
  return `tar -xf ${each.result?.filename}\ncd ${each.id}\n${use[each.format] ?? "cat README.md"}`;
}

export function verifyCommands({ id, result }: ModelExport): string {
  return [
    `echo "${result?.sha256}  ${result?.filename}" | sha256sum --check`,
    "pip install model-signing pyopenssl",
    `model_signing verify key --public_key signing-key.pub --signature ${id}/model.sig ${id}`,
  ].join("\n");
}
