/** Names of measured figures, which gates have conditions on. */

import { t } from "#lib/i18n.svelte.ts";
import { metricName } from "./wording.ts";

/** The name of a figure by the key of a gate, such as "gain in chrF, lower limit". */
export function figureName(key: string): string {
  const limit = key.endsWith("_low") ? "low" : key.endsWith("_high") ? "high" : "none";
  const plain = limit === "none" ? key : key.slice(0, -limit.length - 1);
  return t("evaluation.figure", { name: nameOf(plain), limit });
}

function nameOf(key: string): string {
  switch (key) {
    case "gain":
      return t("evaluation.figure_gain");
    case "forgetting":
      return t("evaluation.figure_forgetting");
    case "memorized":
      return t("evaluation.figure_memorized");
    case "wrong_language":
      return t("evaluation.figure_wrong_language");
    case "parity":
      return t("evaluation.figure_parity");
  }
  const over = key.match(/^(.*)_gain_over_prompt$/)?.[1];
  if (over) return t("evaluation.figure_metric_gain_over_prompt", { metric: metricName(over) });
  const gain = key.match(/^(.*)_gain$/)?.[1];
  if (gain) return t("evaluation.figure_metric_gain", { metric: metricName(gain) });
  return t("evaluation.figure_metric", { metric: metricName(key) });
}
