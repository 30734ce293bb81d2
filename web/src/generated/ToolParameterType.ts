// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * JSON types that parameters have.
 */
export type ToolParameterType = "string" | "number" | "boolean";
