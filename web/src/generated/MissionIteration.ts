// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { IterationSource } from "./IterationSource";
import type { IterationStatus } from "./IterationStatus";
import type { PlanStep } from "./PlanStep";

/**
 * One run of a mission. Times are ISO 8601 with milliseconds and `Z`.
 */
export type MissionIteration = { id: string, startedAt: string, finishedAt?: string, plan: Array<PlanStep>, summary?: string, userFeedback?: string, source?: IterationSource, overallStatus: IterationStatus, };
