/** Devices of one user around one log, without a network between them. */
import { beforeEach } from "vitest";
import { type MissionIteration, type Proposal, startServerIterationStaging } from "../../src/index";
import type { SyncApi } from "../../page/device/api";
import { syncOnce } from "../../page/device/sync";
import { insertRecord } from "../../page/device/write";
import { mission, openDevice, settledProposals } from "./device";
import { Log } from "./log";
import { Service } from "./service";

/** A user's own write. */
export const USER = { kind: "user" } as const;

/** A device that syncs when it is told to. */
export type Synced = ReturnType<ReturnType<typeof useLog>["device"]>;

/** Call it at the top of a file: each test gets an empty log. */
export function useLog() {
  const shared = { log: new Log(), service: new Service(new Log()) };
  beforeEach(() => {
    shared.log = new Log();
    shared.service = new Service(shared.log);
  });
  /** One device of alice, with a way to make its connection fail. */
  const device = (change: (api: SyncApi) => SyncApi = (api) => api) => {
    const { db, host } = openDevice();
    const api = change({
      pull: async (app, id, { since = "", after = "" }, limit) =>
        shared.log.pull("alice", app, id, since, after, limit),
      push: async (app, id, rows) => shared.log.push("alice", app, id, rows),
      runMission: async () => ({ outcome: "planned", reason: null }),
    });
    return { db, host, sync: () => syncOnce(db, api) };
  };
  return Object.assign(shared, { device });
}

/** Makes a mission as the page does. */
export async function create({ db }: Synced, id: string, iterations: MissionIteration[] = []): Promise<void> {
  const { id: _, createdAt: _c, updatedAt: _u, ...fields } = mission(id, iterations);
  await insertRecord(db, "aiMissions", id, fields, USER);
}

/** Lets the device stage what it has. */
export async function stage({ db, host }: Synced): Promise<Proposal[]> {
  const effect = startServerIterationStaging(host);
  const proposals = await settledProposals(db);
  effect.stop();
  return proposals;
}

/** The mission as this device has it. */
export const missionOf = ({ db }: Synced, id = "m") => db.aiMissions.get(id);
