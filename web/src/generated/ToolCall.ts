// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * A step that runs a tool. `params` may be missing or null where another writer left it out.
 */
export type ToolCall = { kind: "toolCall", toolName: string, params?: Record<string, unknown> | null, };
