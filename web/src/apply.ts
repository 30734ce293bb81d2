/**
 * Field-level last-writer-wins, as April's devices do it: rows of one record in, the record and its clocks out.
 * `lww.json` and `dotted.json` of the repository's test vectors were written by such a device.
 */
import { own, withPart } from "./keypath";
import type { ChangeRow, Clocks, Fields, RecordState } from "./types";

/** Stands in where a row carries no usable time. It loses against every real one. */
export const EPOCH = "1970-01-01T00:00:00.000Z";

/** The record after `rows`, in any order; undefined where it was never there or is hard-deleted. */
export function fold(rows: readonly ChangeRow[]): RecordState | undefined {
  const sorted = [...rows].sort((a, b) => compare(a.created_at, b.created_at) || compare(a.id, b.id));
  return sorted.reduce<RecordState | undefined>(applyChange, undefined);
}

/** The record after one more row. Does not change `state`. */
export function applyChange(state: RecordState | undefined, row: ChangeRow): RecordState | undefined {
  const data = row.data ?? {};
  switch (row.op) {
    case "insert":
      return applyInsert(state, data);
    case "update":
      return applyFields(state, data, row.field_timestamps ?? {});
    case "delete":
      return applyDelete(state, data);
  }
}

/** Timestamps and ids are compared as text: that is the order which every device agrees on. */
export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The clock of a field. One that was never set alone has the time of the record. */
export function clockOf(state: RecordState, field: string): string {
  return own(state.clocks, field) ?? text(own(state.fields, "updatedAt")) ?? "";
}

/** An insert carries no field timestamps: all its fields have the time of the record. */
function applyInsert(state: RecordState | undefined, data: Fields): RecordState {
  const time = text(data.updatedAt) ?? text(data.createdAt) ?? EPOCH;
  const times = Object.fromEntries(Object.keys(data).map((field) => [field, time]));
  return applyFields(state, data, times);
}

/** A field without a timestamp does not exist for any device. */
function applyFields(state: RecordState | undefined, data: Fields, times: Clocks): RecordState {
  const before = state ?? { fields: {}, clocks: {} };
  const after = { fields: { ...before.fields }, clocks: { ...before.clocks } };
  for (const [field, value] of Object.entries(data)) {
    const time = text(own(times, field));
    if (!isSyncable(field) || time === undefined) continue;
    // Compared with the record as it was before the row: its own `updatedAt` must not become the fallback.
    if (state && time < clockOf(before, field)) continue;
    // On an unknown record a dotted name is a field of that name, not a part.
    if (state) after.fields = withPart(after.fields, field, value);
    else after.fields[field] = value;
    after.clocks[field] = time;
  }
  return after;
}

/** With `deletedAt` a soft delete, which only a known record can have; else the record is gone. */
function applyDelete(state: RecordState | undefined, data: Fields): RecordState | undefined {
  const deletedAt = data.deletedAt ?? null;
  if (deletedAt === null) return undefined;
  if (!state) return undefined;
  const time = text(deletedAt) ?? EPOCH;
  const clock = own(state.clocks, "deletedAt") ?? text(own(state.fields, "deletedAt")) ?? "";
  if (time < clock) return state;
  return {
    fields: { ...state.fields, deletedAt, updatedAt: deletedAt },
    clocks: { ...state.clocks, deletedAt: time, updatedAt: time },
  };
}

/** The key of the record, and a device's own bookkeeping, are no fields. */
export function isSyncable(field: string): boolean {
  return field !== "id" && !field.startsWith("__");
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
