/**
 * Every write of this device. It becomes a row of the log first, and the row is applied here as any other device will
 * apply it, so that all of them hold the same record.
 */
import { type Actor, applyChange, editOf, type Fields } from "../../src/index";
import { APPS, type DeviceDb, type PendingRow, type SyncedTable, stateOf, storedOf } from "./db";
import { newId } from "./ids";

/** A new record. One that exists already is left alone: it was made by the same approval on another device. */
export async function insertRecord(
  db: DeviceDb,
  table: SyncedTable,
  id: string,
  fields: Fields,
  actor: Actor,
): Promise<void> {
  if (await db.synced(table).get(id)) return;
  const now = new Date().toISOString();
  const data = { ...fields, id, createdAt: now, updatedAt: now };
  await writeRow(db, { table, record_id: id, op: "insert", data, field_timestamps: {}, actor });
}

/** Changes fields of a record that exists. */
export async function updateRecord(
  db: DeviceDb,
  table: SyncedTable,
  id: string,
  patch: Fields,
  actor: Actor,
): Promise<void> {
  const before = stateOf(await db.synced(table).get(id));
  if (!before) return;
  const edit = editOf(before, patch, new Date().toISOString());
  if (edit) await writeRow(db, { table, record_id: id, op: "update", ...edit, actor });
}

/** Marks a record as deleted; it stays in the log. */
export async function deleteRecord(db: DeviceDb, table: SyncedTable, id: string, actor: Actor): Promise<void> {
  const data = { deletedAt: new Date().toISOString() };
  await writeRow(db, { table, record_id: id, op: "delete", data, field_timestamps: {}, actor });
}

async function writeRow(db: DeviceDb, row: Omit<PendingRow, "id" | "app">): Promise<void> {
  await db.transaction("rw", db.written, async () => {
    const pending: PendingRow = { ...row, id: newId(), app: APPS[row.table] };
    const stored = await db.synced(row.table).get(row.record_id);
    const state = applyChange(stateOf(stored), { ...pending, created_at: "" });
    if (!state) return;
    const createdBy = stored ? stored.__createdBy : row.actor;
    await db.synced(row.table).put(storedOf(row.record_id, state, createdBy));
    await db.pendingRows.add(pending);
  });
}
