/** Texts, numbers and dates in the language of the person. */

import type { Messages } from "../messages/keys";
import { LANGUAGES, type Language } from "./languages.ts";

type Arguments = Record<string, string | number>;
type Message = string | ((given: Arguments, formatter: Formatter) => string);
export type Catalog = Record<string, Message>;

class Formatter {
  readonly #numbers: Intl.NumberFormat;
  readonly #plurals: Intl.PluralRules;

  constructor(readonly tag: string) {
    this.#numbers = new Intl.NumberFormat(tag, { maximumFractionDigits: 2 });
    this.#plurals = new Intl.PluralRules(tag);
  }

  text(value: string | number | undefined): string {
    return typeof value === "number" ? this.number(value) : (value ?? "");
  }

  number(value: string | number | undefined): string {
    return this.#numbers.format(Number(value));
  }

  plural(value: string | number | undefined, options: Record<string, () => string>): string {
    const count = Number(value);
    const option = options[`=${count}`] ?? options[this.#plurals.select(count)] ?? options["other"];
    return option?.() ?? "";
  }

  select(value: string | number | undefined, options: Record<string, () => string>): string {
    return (options[String(value)] ?? options["other"])?.() ?? "";
  }
}

const STORED = "finetuned.language";

class I18n {
  language: Language = $state.raw(LANGUAGES[0]);
  catalog: Catalog = $state.raw({});
  #hasAdmin = false;
  readonly #formatter = $derived(new Formatter(this.language.tag));

  get formatter(): Formatter {
    return this.#formatter;
  }

  /** Load the stored language, or the browser's first one that there is a catalog for. */
  async start(): Promise<void> {
    const asked = [localStorage.getItem(STORED), ...navigator.languages].filter((tag) => !!tag);
    const found = asked.map((tag) => matching(tag as string)).find((language) => language);
    await this.use(found ?? LANGUAGES[0]);
  }

  async use(language: Language): Promise<void> {
    const loaded = [language.load(), ...(this.#hasAdmin ? [language.loadAdmin()] : [])];
    this.catalog = Object.assign({}, ...(await Promise.all(loaded)).map((part) => part.default));
    this.language = language;
    document.documentElement.lang = language.tag;
  }

  /** Load the texts of the admin area, too. */
  async addAdmin(): Promise<void> {
    if (this.#hasAdmin) return;
    this.#hasAdmin = true;
    await this.use(this.language);
  }

  /** Use a language from now on, in this browser. */
  async choose(language: Language): Promise<void> {
    localStorage.setItem(STORED, language.tag);
    await this.use(language);
  }
}

/** The language for a tag such as `zh-TW`, whose script decides: Hant for Taiwan, Hong Kong, Macao. */
function matching(tag: string): Language | undefined {
  const locale = new Intl.Locale(tag).maximize();
  const same = LANGUAGES.filter((each) => {
    const offered = new Intl.Locale(each.tag).maximize();
    return offered.language === locale.language && offered.script === locale.script;
  });
  return same[0];
}

export const i18n = new I18n();

type Key = keyof Messages;

/** Return a text of the catalog in the current language. */
export function t<K extends Key>(
  key: K,
  ...given: Messages[K] extends null ? [] : [Messages[K]]
): string {
  const message = i18n.catalog[key] ?? key;
  if (typeof message === "string") return message;
  return message((given[0] ?? {}) as Arguments, i18n.formatter);
}

/**
 * Return the text of a key, or null if there is none: for codes that a newer service may send. A text with
 * arguments needs them as `given`.
 */
export function textOf(key: string, given?: Arguments): string | null {
  const message = i18n.catalog[key];
  if (typeof message === "function") return given ? message(given, i18n.formatter) : null;
  return message ?? null;
}

const formats = new Map<
  string,
  Intl.DateTimeFormat | Intl.NumberFormat | Intl.RelativeTimeFormat
>();

function cached<T extends Intl.DateTimeFormat | Intl.NumberFormat | Intl.RelativeTimeFormat>(
  kind: string,
  make: (tag: string) => T,
): T {
  const { tag } = i18n.language;
  const key = `${tag} ${kind}`;
  const found = (formats.get(key) as T | undefined) ?? make(tag);
  formats.set(key, found);
  return found;
}

/** A number with the separators of the language. */
export function number(value: number, digits = 2): string {
  return cached(
    `number ${digits}`,
    (tag) => new Intl.NumberFormat(tag, { maximumFractionDigits: digits }),
  ).format(value);
}

/** A share from 0 to 1 as a percentage. */
export function percent(share: number, digits = 0): string {
  return cached(
    `percent ${digits}`,
    (tag) => new Intl.NumberFormat(tag, { style: "percent", maximumFractionDigits: digits }),
  ).format(share);
}

/** Bytes in binary units, as the service counts them: KiB, MiB, GiB. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${number(value, value < 10 && unit > 0 ? 1 : 0)} ${units[unit]}`;
}

/** Time of a Unix timestamp in seconds: today only the clock time, else with the date. */
export function time(seconds: number): string {
  const date = new Date(seconds * 1000);
  const isToday = date.toDateString() === new Date().toDateString();
  return cached(isToday ? "clock" : "time", (tag) => {
    const clock = { hour: "2-digit", minute: "2-digit" } as const;
    const day = { day: "numeric", month: "short", year: "numeric" } as const;
    return new Intl.DateTimeFormat(tag, isToday ? clock : { ...day, ...clock });
  }).format(date);
}

/** A duration in seconds in its two largest units. */
export function duration(seconds: number): string {
  const steps = [
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ] as const;
  const whole = Math.max(0, Math.round(seconds));
  const at = Math.max(
    0,
    steps.findIndex(([size]) => whole >= size),
  );
  const first = whole === 0 ? steps.length - 1 : at;
  const parts: string[] = [];
  let rest = whole;
  for (const [size, unit] of steps.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || parts.length === 0) {
      const format = cached(
        `unit ${unit}`,
        (tag) => new Intl.NumberFormat(tag, { style: "unit", unit, unitDisplay: "short" }),
      );
      parts.push(format.format(count));
    }
  }
  return parts.join(" ");
}

/** How long ago a Unix timestamp was, or in how long it will be. */
export function relative(seconds: number, now = Date.now() / 1000): string {
  const difference = seconds - now;
  const size = Math.abs(difference);
  const format = cached(
    "relative",
    (tag) => new Intl.RelativeTimeFormat(tag, { numeric: "auto", style: "short" }),
  );
  if (size < 60) return format.format(Math.round(difference), "second");
  if (size < 3600) return format.format(Math.round(difference / 60), "minute");
  if (size < 86_400) return format.format(Math.round(difference / 3600), "hour");
  return format.format(Math.round(difference / 86_400), "day");
}

/** The name of a language by its BCP 47 tag. */
export function languageName(tag: string | null): string {
  if (!tag || tag === "und") return t("common.unknown_language");
  try {
    return new Intl.DisplayNames(i18n.language.tag, { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag; // not a language tag
  }
}

/** The tag for `lang` of a text, or undefined if its language is unknown. */
export function langOf(tag: string | null | undefined): string | undefined {
  return !tag || tag === "und" ? undefined : tag;
}
