/** Whether a mission runs. */
export type MissionState = "active" | "paused" | "done" | "archived";
