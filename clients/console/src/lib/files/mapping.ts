/** Which column of a file holds which part of a row. */

import type { DatasetPreviewContent, FileFormat } from "@finetuned/client";

export type Shape = NonNullable<FileFormat["shape"]>;

/** The parts of a row of each shape: those that it must have, and those that it may have. */
export const FIELDS: Record<Shape, { needed: readonly string[]; optional: readonly string[] }> = {
  prompt_completion: { needed: ["prompt", "completion"], optional: ["system", "context"] },
  chat: { needed: ["messages"], optional: ["tools"] },
  preference: { needed: ["prompt", "chosen", "rejected"], optional: ["system"] },
  labeled: { needed: ["prompt", "completion", "label"], optional: ["system"] },
  alpaca: { needed: ["instruction", "output"], optional: ["input", "system"] },
  sharegpt: { needed: ["conversations"], optional: ["system"] },
  text: { needed: ["text"], optional: [] },
  reinforcement: { needed: ["prompt"], optional: ["system"] },
};
export const SHAPES = Object.keys(FIELDS) as Shape[];

/** Names that a newer service may add have no text here. */
export function isShape(value: string | null | undefined): value is Shape {
  return value != null && value in FIELDS;
}

export interface Mapping {
  shape: Shape | null;
  columns: Record<string, string>;
  /** Whether it is a guess that no one has confirmed: the file was not read with it. */
  isGuess: boolean;
}

/** The mapping that a file was read with, or the best guess for one whose columns are unknown. */
export function mappingOf(content: DatasetPreviewContent): Mapping | null {
  const shape = content.found?.shape;
  if (isShape(shape)) return { shape, columns: content.found?.columns ?? {}, isGuess: false };
  const guess = content.alternatives.columns?.[0]?.columns ?? {};
  if (!guess["prompt"] || !guess["completion"]) return null;
  return { shape: "prompt_completion", columns: guess, isGuess: true };
}

/** All columns of a file. */
export function columnsOf(content: DatasetPreviewContent): string[] {
  const listed = content.alternatives.columns?.[0]?.names;
  if (listed) return listed;
  const used = Object.values(content.found?.columns ?? {});
  const inRows = content.rows.flatMap(({ record }) => Object.keys(record ?? {}));
  return [...new Set([...used, ...(content.found?.unused_columns ?? []), ...inRows])];
}

/** Whether columns have names of their own, so that a person should look at how they were understood. */
export function isRenamed({ columns }: Mapping): boolean {
  return Object.entries(columns).some(([field, column]) => field !== column);
}

/** A format without options that have no value. */
export function compact(format: FileFormat): FileFormat {
  const entries = Object.entries(format).filter(
    ([, value]) =>
      value !== null &&
      value !== undefined &&
      value !== "" &&
      !(typeof value === "object" && Object.keys(value).length === 0),
  );
  return Object.fromEntries(entries) as FileFormat;
}
