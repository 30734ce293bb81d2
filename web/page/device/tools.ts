/** What this device does when its user approves a step. Every error is a sentence for the user. */
import type { Actor, Fields, ToolCall } from "../../src/index";
import { type DeviceDb, type Stored, type SyncedTable } from "./db";
import { deleteRecord, insertRecord, updateRecord } from "./write";

/** Nothing was changed, and why, in the user's language. */
export class ToolError extends Error {}

/** Runs inside the transaction of the approval. */
export async function runTool(db: DeviceDb, { toolName, params, actor, recordId }: ToolCall): Promise<void> {
  switch (toolName) {
    case "create_task":
      return insertRecord(db, "tasks", recordId, { ...params, isCompleted: false }, actor);
    case "complete_task":
      return completeTask(db, await existing(db, "tasks", params.taskId, "Diese Aufgabe"), actor);
    case "complete_tasks_by_title":
      return completeTasks(db, String(params.titleMatch), actor);
    case "create_event":
      return createEvent(db, recordId, params, actor);
    case "create_place":
      return insertRecord(db, "places", recordId, { ...params, visitCount: 0 }, actor);
    case "record_visit":
      return recordVisit(db, await existing(db, "places", params.placeId, "Diesen Ort"), actor);
    case "undo_last_drink":
      return undoLastDrink(db, actor);
    default:
      throw new ToolError("Dieses Gerät kennt das Werkzeug nicht.");
  }
}

async function completeTask(db: DeviceDb, task: Stored, actor: Actor): Promise<void> {
  const completedAt = new Date().toISOString();
  await updateRecord(db, "tasks", task.id, { isCompleted: true, completedAt }, actor);
}

async function completeTasks(db: DeviceDb, titleMatch: string, actor: Actor): Promise<void> {
  const wanted = titleMatch.trim().toLocaleLowerCase("de");
  const tasks = (await living(db, "tasks")).filter(
    (task) =>
      !task.isCompleted &&
      String(task.title ?? "")
        .toLocaleLowerCase("de")
        .includes(wanted),
  );
  if (tasks.length === 0) throw new ToolError(`Keine offene Aufgabe enthält „${titleMatch}“.`);
  for (const task of tasks) await completeTask(db, task, actor);
}

/** An event's times are a record of their own, under the same id. */
async function createEvent(db: DeviceDb, id: string, params: Fields, actor: Actor): Promise<void> {
  const { startTime, endTime, isAllDay, ...event } = params;
  const block = { startDate: startTime, endDate: endTime, allDay: isAllDay === true, sourceId: id };
  await insertRecord(db, "timeBlocks", id, block, actor);
  await insertRecord(db, "events", id, { ...event, timeBlockId: id }, actor);
}

async function recordVisit(db: DeviceDb, place: Stored, actor: Actor): Promise<void> {
  const visitCount = (typeof place.visitCount === "number" ? place.visitCount : 0) + 1;
  await updateRecord(db, "places", place.id, { visitCount, lastVisitedAt: new Date().toISOString() }, actor);
}

async function undoLastDrink(db: DeviceDb, actor: Actor): Promise<void> {
  const drinks = await living(db, "drinkEntries");
  const newest = drinks.sort((a, b) => String(a.createdAt).localeCompare(String(b.createdAt))).pop();
  if (!newest) throw new ToolError("Auf diesem Gerät ist kein Getränk erfasst, das zurückgenommen werden könnte.");
  await deleteRecord(db, "drinkEntries", newest.id, actor);
}

async function existing(db: DeviceDb, table: SyncedTable, id: unknown, what: string): Promise<Stored> {
  const record = typeof id === "string" ? await db.synced(table).get(id) : undefined;
  if (!record || record.deletedAt) throw new ToolError(`${what} gibt es auf diesem Gerät nicht.`);
  return record;
}

/** The records that are not deleted. */
async function living(db: DeviceDb, table: SyncedTable): Promise<Stored[]> {
  return (await db.synced(table).toArray()).filter((record) => !record.deletedAt);
}
