// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Where a step stands.
 */
export type StepStatus = "planned" | "staged" | "approved" | "rejected" | "skipped" | "failed";
