import type { Actor } from "./Actor";
import type { Intent } from "./Intent";
import type { ProposalStatus } from "./ProposalStatus";

/** What a user is asked to approve: one step of a plan that calls a tool. */
export type Proposal = {
  id: string;
  createdAt: string;
  status: ProposalStatus;
  actor: Extract<Actor, { kind: "ai" }>;
  missionId: string;
  iterationId: string;
  rationale: string;
  intent: Extract<Intent, { kind: "toolCall" }>;
  decidedAt?: string;
  userFeedback?: string;
};
