/** Where a proposal stands. */
export type ProposalStatus = "pending" | "approved" | "rejected";
