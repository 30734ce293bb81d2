// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { Intent } from "./Intent";
import type { StepStatus } from "./StepStatus";

/**
 * One step of a plan. `proposalId` is the durable marker that a device has staged it.
 */
export type PlanStep = { id: string, summary: string, status: StepStatus, proposalId?: string, rationale?: string, intent: Intent, };
