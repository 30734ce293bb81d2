/** Where a step stands. */
export type StepStatus = "planned" | "staged" | "approved" | "rejected" | "skipped" | "failed";
