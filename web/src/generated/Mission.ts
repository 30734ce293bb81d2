// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { MissionCadence } from "./MissionCadence";
import type { MissionInputRef } from "./MissionInputRef";
import type { MissionIteration } from "./MissionIteration";
import type { MissionState } from "./MissionState";

/**
 * A standing order in its user's words. Other writers add fields that are not named here.
 */
export type Mission = { id: string, createdAt: string, updatedAt: string, title: string, conceptMarkdown: string, objective: string, inputs: Array<MissionInputRef>, cadence: MissionCadence, state: MissionState, nextRunAt?: string | null, iterations: Array<MissionIteration>, deletedAt?: string | null, };
