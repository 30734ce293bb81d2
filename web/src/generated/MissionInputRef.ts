/** A record of another app that the mission is about. */
export type MissionInputRef = { module: string; table: string; id: string };
