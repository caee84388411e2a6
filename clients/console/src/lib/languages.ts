/** Languages of the console, each with its own name. Their catalogs are loaded when used. */

import type { Catalog } from "./i18n.svelte.ts";

export interface Language {
  tag: string;
  name: string;
  load: () => Promise<{ default: Catalog }>;
  /** Loads the texts of the admin area. */
  loadAdmin: () => Promise<{ default: Catalog }>;
}

export const LANGUAGES: readonly [Language, ...Language[]] = [
  {
    tag: "en",
    name: "English",
    load: () => import("virtual:messages/en"),
    loadAdmin: () => import("virtual:messages/en/admin"),
  },
  {
    tag: "ja",
    name: "日本語",
    load: () => import("virtual:messages/ja"),
    loadAdmin: () => import("virtual:messages/ja/admin"),
  },
  {
    tag: "zh-Hans",
    name: "简体中文",
    load: () => import("virtual:messages/zh-Hans"),
    loadAdmin: () => import("virtual:messages/zh-Hans/admin"),
  },
  {
    tag: "zh-Hant",
    name: "繁體中文",
    load: () => import("virtual:messages/zh-Hant"),
    loadAdmin: () => import("virtual:messages/zh-Hant/admin"),
  },
  {
    tag: "ko",
    name: "한국어",
    load: () => import("virtual:messages/ko"),
    loadAdmin: () => import("virtual:messages/ko/admin"),
  },
  {
    tag: "th",
    name: "ไทย",
    load: () => import("virtual:messages/th"),
    loadAdmin: () => import("virtual:messages/th/admin"),
  },
  {
    tag: "vi",
    name: "Tiếng Việt",
    load: () => import("virtual:messages/vi"),
    loadAdmin: () => import("virtual:messages/vi/admin"),
  },
  {
    tag: "id",
    name: "Bahasa Indonesia",
    load: () => import("virtual:messages/id"),
    loadAdmin: () => import("virtual:messages/id/admin"),
  },
  {
    tag: "hi",
    name: "हिन्दी",
    load: () => import("virtual:messages/hi"),
    loadAdmin: () => import("virtual:messages/hi/admin"),
  },
];
