// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * A step that only says something.
 */
export type Note = { kind: "note", body: string, };
