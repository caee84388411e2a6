/** Names of languages in the language of the page. */

import { i18n, t } from "#lib/i18n.svelte.ts";

export function languageName(code: string | null): string {
  if (code === null || code === "und") return t("rows.language_unknown");
  try {
    return new Intl.DisplayNames(i18n.language.tag, { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** The tag for `lang` of a row's text, or undefined if its language is unknown. */
export function langOf(code: string | null): string | undefined {
  return code === null || code === "und" ? undefined : code;
}
