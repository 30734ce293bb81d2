// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { SystemSource } from "./SystemSource";

/**
 * A part of the suite, without its user.
 */
export type SystemActor = { kind: "system", source?: SystemSource, principalId?: string, displayName?: string, };
