/** Written by scripts/parameters.ts from openapi.json. */
declare module "virtual:parameters" {
  export interface Parameter {
    /** Name in a request; `lora.r` is the field `r` in the object `lora`. */
    name: string;
    kind: "integer" | "number" | "boolean" | "choice" | "names" | "text";
    /** Description, in English. Names of fields are between backticks. */
    help: string;
    /** Whether it may be `auto`, which is then its default. */
    isAuto?: boolean;
    /** Name of the optional object that it is in, such as `early_stopping`. */
    partOf?: string;
    default?: string | number | boolean;
    options?: string[];
    min?: number;
    max?: number;
    above?: number;
    below?: number;
  }
  export const parameters: Record<
    "supervised" | "dpo" | "kto" | "pretraining" | "reinforcement",
    readonly Parameter[]
  >;
  /** Descriptions of the other fields of a request. */
  export const fieldHelp: Record<string, string>;
}
