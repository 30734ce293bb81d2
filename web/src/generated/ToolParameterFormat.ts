// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Shapes of strings.
 */
export type ToolParameterFormat = "YYYY-MM-DD" | "ISO 8601";
