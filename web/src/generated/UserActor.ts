// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * The user at one of their devices.
 */
export type UserActor = { kind: "user", principalId?: string, displayName?: string, };
