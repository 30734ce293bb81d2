/** Where an iteration stands as a whole. */
export type IterationStatus = "running" | "awaiting-review" | "approved" | "rejected" | "failed";
