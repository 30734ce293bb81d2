// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Which runner made an iteration.
 */
export type IterationSource = "browser" | "server";
