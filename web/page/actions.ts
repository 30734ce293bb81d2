/** What a user does with missions and what has landed. All of it is written as the user. */
import { type Actor, giveFeedback, isSame, type Mission, type MissionCadence } from "../src/index";
import type { SyncApi } from "./device/api";
import type { DeviceDb } from "./device/db";
import { hostOf } from "./device/host";
import { newId } from "./device/ids";
import type { Sync } from "./device/sync";
import { insertRecord, updateRecord } from "./device/write";
import { nextRun } from "./words/cadence";

const USER: Actor = { kind: "user" };

/** What the form of a mission holds. */
export interface MissionDraft {
  title: string;
  objective: string;
  conceptMarkdown: string;
  cadence: MissionCadence;
}

/** Everything that the page's buttons do. */
export type Actions = ReturnType<typeof actionsOf>;

/** The actions on this device. */
export function actionsOf(db: DeviceDb, api: SyncApi, sync: Sync) {
  const host = hostOf(db);
  const change = (id: string, patch: Partial<Mission>) => updateRecord(db, "aiMissions", id, patch, USER);
  return {
    host,
    async createMission(draft: MissionDraft): Promise<string> {
      const id = newId();
      const slot = { state: "active", nextRunAt: nextRun(draft.cadence, new Date()) };
      await insertRecord(db, "aiMissions", id, { ...draft, ...slot, inputs: [], iterations: [] }, USER);
      return id;
    },
    /**
     * Writes what differs from the mission as it was when its form was opened: another device may have edited the rest
     * since. The next slot moves only if the cadence changed.
     */
    async editMission(opened: Mission, draft: MissionDraft): Promise<void> {
      const patch: Partial<Mission> = {};
      for (const field of ["title", "objective", "conceptMarkdown"] as const) {
        if (draft[field] !== opened[field]) patch[field] = draft[field];
      }
      if (!isSame(cadenceOf(opened.cadence), cadenceOf(draft.cadence))) {
        patch.cadence = draft.cadence;
        patch.nextRunAt = nextRun(draft.cadence, new Date());
      }
      await change(opened.id, patch);
    },
    pause: (mission: Mission) => change(mission.id, { state: "paused" }),
    /** A slot that passed during the pause is not made up for. */
    resume: (mission: Mission) =>
      change(mission.id, { state: "active", nextRunAt: nextRun(mission.cadence, new Date()) }),
    feedback: (missionId: string, iterationId: string, text: string) =>
      giveFeedback(host, missionId, iterationId, text),
    toggleTask: (id: string, isCompleted: boolean) =>
      updateRecord(db, "tasks", id, { isCompleted, completedAt: isCompleted ? new Date().toISOString() : null }, USER),
    /** The service plans from the log, so ours must be there first. */
    async run(mission: Mission): Promise<string> {
      await sync.now();
      const { outcome } = await api.runMission(mission.id);
      await sync.now();
      return outcome;
    },
  };
}

/** Without the leaves that another kind of cadence left behind as null. */
function cadenceOf(cadence: MissionCadence): unknown {
  return Object.fromEntries(Object.entries(cadence).filter(([, value]) => value !== null));
}
