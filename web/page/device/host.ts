import type { Host } from "../../src/index";
import type { DeviceDb } from "./db";
import { runTool } from "./tools";
import { updateRecord } from "./write";

/** This device, as the package wants it. */
export function hostOf(db: DeviceDb): Host {
  return {
    db,
    missions: db.aiMissions as Host["missions"],
    proposals: db.pendingProposals,
    alsoUsed: db.written,
    updateMission: (id, patch, actor) => updateRecord(db, "aiMissions", id, patch, actor),
    runTool: (call) => runTool(db, call),
  };
}
