/** Makes invisible characters of untrusted text visible. */

/** A piece of text, or an invisible character with its name. */
export type Part = { text: string; name?: undefined } | { text?: undefined; name: string };

// Controls except tab and line feeds, zero-width characters, bidirectional marks, BOM, tags.
// Zero-width joiners between letters or emoji are ordinary in Hindi, Persian and emoji.
const INVISIBLE =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]|(?<![\p{L}\p{M}\p{Emoji}])\u200d|\u200d(?![\p{L}\p{M}\p{Emoji}])/gu;

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
