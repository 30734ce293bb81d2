// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { ToolParameter } from "./ToolParameter";

/**
 * A tool of one of the suite's apps.
 */
export type Tool = { 
/**
 * What a step calls it, exactly.
 */
name: string, 
/**
 * The app that it belongs to.
 */
module: string, 
/**
 * What it takes. Unknown extras are allowed, as on the device.
 */
parameters: Array<ToolParameter>, };
