// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.
import type { AiActor } from "./AiActor";
import type { ProposalStatus } from "./ProposalStatus";
import type { ToolCall } from "./ToolCall";

/**
 * What a user is asked to approve: one step of a plan that calls a tool. It stays on its device.
 */
export type Proposal = { id: string, createdAt: string, status: ProposalStatus, actor: AiActor, missionId: string, iterationId: string, rationale: string, intent: ToolCall, decidedAt?: string, userFeedback?: string, };
