import type { IterationStatus } from "./IterationStatus";
import type { PlanStep } from "./PlanStep";

/** One run of a mission. Times are ISO 8601 with milliseconds and `Z`. */
export type MissionIteration = {
  id: string;
  startedAt: string;
  finishedAt?: string;
  plan: Array<PlanStep>;
  summary?: string;
  userFeedback?: string;
  source?: "browser" | "server";
  overallStatus: IterationStatus;
};
