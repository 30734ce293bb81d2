// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Which part of the suite.
 */
export type SystemSource = "projection" | "rule" | "migration" | "mission-runner";
