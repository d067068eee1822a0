// Flags of the commands that print a report.
import type { FlagTable } from "../cli/flag.ts";
import { oneOf, parseBoolean } from "../cli/flag-values.ts";

/** In which form the report is printed. */
export const outputFlags = {
  output: {
    value: "FORMAT",
    default: "table",
    isFileKey: false,
    summary: "What to print: a table for people, or json for scripts.",
    example: "json",
    parse: oneOf<"table" | "json">("table", "json"),
  },
} as const satisfies FlagTable;

/** Whether the report is repeated. */
export const watchFlags = {
  watch: {
    value: "",
    default: "false",
    isFileKey: false,
    summary: "Print again every two seconds until interrupted.",
    example: "true",
    parse: parseBoolean,
  },
} as const satisfies FlagTable;
