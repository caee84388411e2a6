/** Makes invisible characters of untrusted text visible. */

/** A piece of text, or an invisible character with its name. */
export type Part = { text: string; name?: undefined } | { text?: undefined; name: string };

// What joiners connect in ordinary text: letters of scripts that join or stack, marks, and emoji.
const JOINED =
  "\\p{sc=Arab}\\p{sc=Syrc}\\p{sc=Mong}\\p{sc=Deva}\\p{sc=Bengali}\\p{sc=Guru}\\p{sc=Gujr}\\p{sc=Orya}" +
  "\\p{sc=Taml}\\p{sc=Telu}\\p{sc=Knda}\\p{sc=Mlym}\\p{sc=Sinh}\\p{sc=Khmr}\\p{sc=Mymr}\\p{sc=Tibt}" +
  "\\p{M}\\p{Extended_Pictographic}\\p{Emoji_Modifier}";
const INVISIBLE = new RegExp(
  [
    // Controls except tab and line feeds, zero-width characters, bidirectional marks, BOM, fillers.
    "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160]",
    "[\\u17b4\\u17b5\\u180b-\\u180f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164]",
    "[\\ufeff\\uffa0\\ufff0-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{16fe4}]",
    // Tags, which are ordinary nowhere here; variation selectors are after what they vary.
    "[\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}]",
    "(?<!\\p{sc=Han})[\\u{e0100}-\\u{e01ef}]",
    "(?<![\\p{Extended_Pictographic}\\p{sc=Han}\\p{S}])[\\ufe00-\\ufe0f](?!\\u20e3)",
    `(?<![${JOINED}])[\\u200c\\u200d]|[\\u200c\\u200d](?![${JOINED}])`,
  ].join("|"),
  "gu",
);

/** Split a text so that each invisible character is a part of its own. */
export function visible(text: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const match of text.matchAll(INVISIBLE)) {
    if (match.index > at) parts.push({ text: text.slice(at, match.index) });
    const code = match[0].codePointAt(0) ?? 0;
    parts.push({ name: `U+${code.toString(16).toUpperCase().padStart(4, "0")}` });
    at = match.index + match[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at) });
  return parts;
}

/** The largest index up to `wanted` at which a text can be cut without splitting a character. */
export function graphemeCut(text: string, wanted: number): number {
  if (text.length <= wanted) return text.length;
  const from = Math.max(0, wanted - 64);
  const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" });
  let cut = from;
  for (const { index } of segments.segment(text.slice(from, wanted + 64))) {
    if (from + index > wanted) break;
    cut = from + index;
  }
  return cut > 0 ? cut : wanted;
}
