// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Whether a mission runs.
 */
export type MissionState = "active" | "paused" | "done" | "archived";
