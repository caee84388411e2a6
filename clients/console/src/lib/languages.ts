/** Languages of the console, each with its own name. Their catalogs are loaded when used. */

import type { Catalog } from "./i18n.svelte.ts";

export interface Language {
  tag: string;
  name: string;
  load: () => Promise<{ default: Catalog }>;
}

export const LANGUAGES: readonly [Language, ...Language[]] = [
  { tag: "en", name: "English", load: () => import("virtual:messages/en") },
  { tag: "ja", name: "日本語", load: () => import("virtual:messages/ja") },
];
