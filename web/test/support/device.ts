import Dexie from "dexie";
import { afterEach } from "vitest";
import type { Mission, MissionIteration, Proposal } from "../../src/index";
import { DeviceDb, storedOf } from "../../page/device/db";
import { hostOf } from "../../page/device/host";

/** A time at which nothing in these tests happens by itself. */
export const T0 = "2026-04-15T08:00:00.000Z";

const open: DeviceDb[] = [];
let users = 0;

/** A device, or with the name of another one's user a second tab of the same browser. */
export function openDevice(user = `user-${(users += 1)}`) {
  const db = new DeviceDb(user);
  open.push(db);
  return { db, host: hostOf(db), user };
}

afterEach(async () => {
  const databases = open.splice(0);
  for (const db of databases) db.close();
  for (const name of new Set(databases.map((db) => db.name))) await Dexie.delete(name);
});

/** Puts missions into a device's store as if they had been pulled. */
export async function pulled(db: DeviceDb, ...missions: Array<Partial<Mission> & { id: string }>): Promise<void> {
  for (const { id, ...fields } of missions) {
    const clocks = Object.fromEntries(Object.keys(fields).map((field) => [field, T0]));
    await db.synced("aiMissions").put(storedOf(id, { fields, clocks }, { kind: "user" }));
  }
}

/** A plan of the service with so many steps. */
export function plan(id: string, steps = 2, change: object = {}): MissionIteration {
  return {
    id,
    startedAt: T0,
    finishedAt: T0,
    source: "server",
    overallStatus: "awaiting-review",
    summary: `Plan ${id}`,
    plan: Array.from({ length: steps }, (_, index) => ({
      id: `${id}-${index}`,
      summary: `Schritt ${index}`,
      status: "planned",
      rationale: `Weil ${id}-${index}`,
      intent: { kind: "toolCall", toolName: "create_task", params: { title: `Aufgabe ${id}-${index}` } },
    })),
    ...change,
  } as MissionIteration;
}

/** A mission with these iterations. */
export function mission(id: string, iterations: MissionIteration[] = [], change: Partial<Mission> = {}): Mission {
  return {
    id,
    createdAt: T0,
    updatedAt: T0,
    title: `Titel ${id}`,
    conceptMarkdown: "",
    objective: `Ziel ${id}`,
    inputs: [],
    cadence: { kind: "manual" },
    state: "active",
    nextRunAt: null,
    iterations,
    ...change,
  };
}

/** Waits until the count has been the same for a while: a duplicate would come after the right number. */
export async function settledProposals(db: DeviceDb): Promise<Proposal[]> {
  let before = -1;
  let now = await db.pendingProposals.count();
  for (let still = 0; still < 5; still = before === now ? still + 1 : 0) {
    before = now;
    await new Promise((resolve) => setTimeout(resolve, 40));
    now = await db.pendingProposals.count();
  }
  return db.pendingProposals.toArray();
}
