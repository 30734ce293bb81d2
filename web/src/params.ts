/** Are a step's parameters good enough for its tool? Checked as a device does, before anything is written. */
import { own } from "./keypath";
import type { Fields, Tool, ToolParameter } from "./types";

/** What is wrong with a parameter. */
export type ParamFault = "missing" | "no number" | "not allowed";

/** Parameters that can be run, or the first fault in the order of the tool. */
export type CheckedParams = { ok: true; params: Fields } | { ok: false; parameter: string; fault: ParamFault };

/** A decimal number as people and models write it; `Number("")` is 0, `Number("0x1f")` is 31. */
const DECIMAL = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

/**
 * Required ones are present, numbers are numbers or read as one, members of enumerations are members. What the tool
 * does not know passes untouched. Dates are not checked: the user reads them on the card.
 */
export function checkParams(tool: Tool, params: unknown): CheckedParams {
  const given = (typeof params === "object" && params !== null ? params : {}) as Fields;
  const checked: Fields = { ...given };
  for (const parameter of tool.parameters) {
    const value = own(given, parameter.name) ?? null;
    const fault = value === null ? missing(parameter) : faultOf(parameter, value);
    if (fault) return { ok: false, parameter: parameter.name, fault };
    if (parameter.type === "number" && value !== null) checked[parameter.name] = Number(value);
  }
  return { ok: true, params: checked };
}

function missing(parameter: ToolParameter): ParamFault | undefined {
  return parameter.required ? "missing" : undefined;
}

function faultOf(parameter: ToolParameter, value: unknown): ParamFault | undefined {
  if (parameter.type === "number" && !isNumeric(value)) return "no number";
  if (parameter.enum && !parameter.enum.includes(value as string)) return "not allowed";
  return undefined;
}

function isNumeric(value: unknown): boolean {
  return typeof value === "number" ? Number.isFinite(value) : typeof value === "string" && DECIMAL.test(value);
}
