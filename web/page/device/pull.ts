/** Rows of the log → this device's records. */
import { type Actor, applyChange, DEVICE_ACTOR, mergeIterations, type MissionIteration } from "../../src/index";
import type { LogRow, SyncApi } from "./api";
import { APPS, type DeviceDb, type SeenRow, type SyncedTable, stateOf, storedOf } from "./db";
import { updateRecord } from "./write";

/** Rows of one request. */
const PAGE = 500;
/** A row commits after the start of its transaction, by which it is sorted: so far back it may still appear. In ms. */
const OVERLAP = 10_000;
/** Rows of a newer shape are left alone: this device could not read them. */
const SCHEMA_VERSION = 1;

/** Fetches and applies what is new of one app. */
export async function pullApp(db: DeviceDb, api: SyncApi, app: string, clientId: string): Promise<void> {
  const newest = await db.seenRows.where("[app+created_at]").between([app, ""], [app, "\uffff"]).last();
  let cursor: { since?: string; after?: string } = newest ? { since: earlier(newest.created_at) } : {};
  for (;;) {
    const rows = await api.pull(app, clientId, cursor, PAGE);
    await applyRows(db, app, rows);
    const last = rows.at(-1);
    if (!last || rows.length < PAGE) return;
    cursor = { since: last.created_at, after: last.id };
  }
}

/** Applies rows that were not applied before. A row must not be applied twice: an old object would undo newer parts. */
export async function applyRows(db: DeviceDb, app: string, rows: LogRow[]): Promise<void> {
  await db.transaction("rw", [...db.written, db.seenRows], async () => {
    const seen = new Set((await db.seenRows.bulkGet(rows.map((row) => row.id))).map((row) => row?.id));
    const fresh = rows.filter((row) => !seen.has(row.id));
    if (fresh.length === 0) return;
    const before = await listsOf(db, app, fresh);
    for (const row of fresh) await applyRow(db, app, row);
    for (const [id, lists] of before) await keepIterations(db, id, lists);
    await remember(db, app, fresh);
  });
}

async function applyRow(db: DeviceDb, app: string, row: LogRow): Promise<void> {
  const table = syncedTable(app, row.table_name);
  if (!table || row.schema_version > SCHEMA_VERSION) return;
  const stored = await db.synced(table).get(row.record_id);
  const state = applyChange(stateOf(stored), row);
  const createdBy: Actor | undefined = row.op === "insert" ? (row.actor ?? undefined) : stored?.__createdBy;
  if (state) await db.synced(table).put(storedOf(row.record_id, state, createdBy));
  else await db.synced(table).delete(row.record_id);
}

/** Every version of a mission's iterations that these rows bring, and the one that is here. Newest first. */
async function listsOf(db: DeviceDb, app: string, rows: LogRow[]): Promise<Map<string, unknown[]>> {
  const lists = new Map<string, unknown[]>();
  for (const row of rows) {
    if (syncedTable(app, row.table_name) !== "aiMissions") continue;
    const known = lists.get(row.record_id) ?? [(await db.aiMissions.get(row.record_id))?.iterations];
    lists.set(row.record_id, [row.data?.iterations, ...known]);
  }
  return lists;
}

/**
 * A device that had not pulled writes its old list over newer ones, and so does an edit that was made here offline:
 * what that lost is put back. The row that does it goes out with the edit's own, in one transaction of the log.
 */
async function keepIterations(db: DeviceDb, id: string, lists: unknown[]): Promise<void> {
  const mission = await db.aiMissions.get(id);
  if (!mission || !Array.isArray(mission.iterations)) return;
  const kept = lists.reduce<readonly MissionIteration[]>(mergeIterations, mission.iterations);
  if (kept === mission.iterations) return;
  await updateRecord(db, "aiMissions", id, { iterations: kept }, DEVICE_ACTOR);
}

/** Keeps the ids that a pull may bring again, and one by which the next pull begins. */
async function remember(db: DeviceDb, app: string, rows: LogRow[]): Promise<void> {
  await db.seenRows.bulkPut(rows.map(({ id, created_at }): SeenRow => ({ id, app, created_at })));
  const newest = await db.seenRows.where("[app+created_at]").between([app, ""], [app, "\uffff"]).last();
  if (!newest) return;
  const old = earlier(newest.created_at, 2 * OVERLAP);
  await db.seenRows.where("[app+created_at]").between([app, ""], [app, old]).delete();
}

/** With six digits of a second, as in the log, so that both compare as text. */
function earlier(createdAt: string, by = OVERLAP): string {
  return new Date(Date.parse(createdAt) - by).toISOString().replace("Z", "000Z");
}

function syncedTable(app: string, table: string): SyncedTable | undefined {
  return Object.hasOwn(APPS, table) && APPS[table as SyncedTable] === app ? (table as SyncedTable) : undefined;
}
