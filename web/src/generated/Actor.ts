// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { AiActor } from "./AiActor";
import type { SystemActor } from "./SystemActor";
import type { UserActor } from "./UserActor";

/**
 * Who a row is attributed to. Today's suite adds `principalId` and `displayName`; old rows have neither.
 */
export type Actor = UserActor | AiActor | SystemActor;
