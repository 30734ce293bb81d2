// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Where an iteration stands as a whole.
 */
export type IterationStatus = "running" | "awaiting-review" | "approved" | "rejected" | "failed";
