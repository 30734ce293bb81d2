// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { ToolParameterFormat } from "./ToolParameterFormat";
import type { ToolParameterType } from "./ToolParameterType";

/**
 * One parameter of a tool.
 */
export type ToolParameter = { 
/**
 * Key in `params`.
 */
name: string, 
/**
 * JSON type of its value.
 */
type: ToolParameterType, 
/**
 * May it be left out?
 */
required: boolean, 
/**
 * The only values it takes, where it is an enumeration.
 */
enum?: Array<string>, 
/**
 * The shape of a string.
 */
format?: ToolParameterFormat, };
