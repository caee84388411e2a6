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
  { tag: "zh-Hans", name: "简体中文", load: () => import("virtual:messages/zh-Hans") },
  { tag: "zh-Hant", name: "繁體中文", load: () => import("virtual:messages/zh-Hant") },
  { tag: "ko", name: "한국어", load: () => import("virtual:messages/ko") },
  { tag: "th", name: "ไทย", load: () => import("virtual:messages/th") },
  { tag: "vi", name: "Tiếng Việt", load: () => import("virtual:messages/vi") },
  { tag: "id", name: "Bahasa Indonesia", load: () => import("virtual:messages/id") },
  { tag: "hi", name: "हिन्दी", load: () => import("virtual:messages/hi") },
];
