// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * The AI, with its user's consent to one step of a plan.
 */
export type AiActor = { kind: "ai", missionId: string, iterationId: string, rationale: string, principalId?: string, displayName?: string, };
