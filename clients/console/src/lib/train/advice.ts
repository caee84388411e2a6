import type { AdviceResult } from "@finetuned/client";

/** How a recommendation is shown: only `train` is a yes. */
export function toneOf(result: AdviceResult): "success" | "warning" {
  return result.recommendation === "train" ? "success" : "warning";
}
