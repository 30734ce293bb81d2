// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { Note } from "./Note";
import type { ToolCall } from "./ToolCall";

/**
 * What a step would do.
 */
export type Intent = ToolCall | Note;
