/** What an edit looks like in the log: object fields in parts, lists always. */
import { compare, clockOf, isSyncable } from "./apply";
import { isObject, own } from "./keypath";
import type { Clocks, Fields, RecordState } from "./types";

/** The fields of an update row, with a timestamp each. */
export interface Edit {
  data: Fields;
  field_timestamps: Clocks;
}

/**
 * The update that turns `before` into `before` with `patch`. Undefined where nothing changes. An object over an object
 * travels as its changed leaves under dotted names, a leaf that went away as null. Every list of the record travels,
 * changed or not. `updatedAt` is not touched: devices compare parts without a clock with it, and would drop a part
 * that another device set offline before.
 */
export function editOf(before: RecordState, patch: Fields, now: string): Edit | undefined {
  const changed: Fields = {};
  for (const [field, value] of Object.entries(patch)) {
    if (isSyncable(field)) collectChanges(field, own(before.fields, field), value, changed);
  }
  if (Object.keys(changed).length === 0) return undefined;
  const data = { ...unchangedLists({ ...before.fields, ...patch }, changed), ...changed };
  const time = stamp(
    now,
    Object.keys(data).map((field) => clockOf(before, field)),
  );
  const field_timestamps = Object.fromEntries(Object.keys(data).map((field) => [field, time]));
  return { data, field_timestamps };
}

/**
 * `now`, or 1 ms past the newest of `clocks`: else an edit on a device whose clock is behind would be dropped by all,
 * that device included. A clock that is no time at all cannot be passed; then it is `now`.
 */
export function stamp(now: string, clocks: readonly string[]): string {
  const newest = clocks.reduce((a, b) => (compare(a, b) < 0 ? b : a), "");
  if (newest < now) return now;
  const next = new Date(Date.parse(newest) + 1);
  return Number.isNaN(next.getTime()) ? now : next.toISOString();
}

/** Are they the same JSON? The order of an object's members does not count. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((value, index) => isSame(value, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && isSame(a[key], b[key]));
}

function collectChanges(path: string, before: unknown, after: unknown, into: Fields): void {
  if (isObject(before) && isObject(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      collectChanges(`${path}.${key}`, own(before, key), own(after, key), into);
    }
  } else if (!isSame(before ?? null, after ?? null)) {
    into[path] = after ?? null;
  }
}

/** The lists that travel along, without those inside an object that travels whole. */
function unchangedLists(fields: Fields, changed: Fields): Fields {
  const whole = Object.keys(changed).map((path) => `${path}.`);
  const lists = Object.entries(listsOf(fields));
  return Object.fromEntries(lists.filter(([path]) => !whole.some((prefix) => path.startsWith(prefix))));
}

/** Lists at any depth, under their dotted names. */
function listsOf(fields: Fields, prefix = ""): Fields {
  const lists: Fields = {};
  for (const [key, value] of Object.entries(fields)) {
    if (prefix === "" && !isSyncable(key)) continue;
    if (Array.isArray(value)) lists[prefix + key] = value;
    else if (isObject(value)) Object.assign(lists, listsOf(value, `${prefix}${key}.`));
  }
  return lists;
}
