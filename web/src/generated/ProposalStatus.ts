// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * Where a proposal stands.
 */
export type ProposalStatus = "pending" | "approved" | "rejected";
