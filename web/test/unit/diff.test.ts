import { describe, expect, it } from "vitest";
import { applyChange, type ChangeRow, editOf, type Fields, type RecordState, stamp } from "../../src/index";
import { type FoldVector, vectors } from "../support/vectors";

const T0 = "2026-04-28T08:00:00.000Z";
const T1 = "2026-04-28T08:01:00.000Z";

function stateOf(fields: Fields): RecordState {
  return { fields, clocks: Object.fromEntries(Object.keys(fields).map((field) => [field, T0])) };
}

function after(state: RecordState, patch: Fields): Fields | undefined {
  const edit = editOf(state, patch, T1);
  const row: ChangeRow = { id: "r", created_at: T1, op: "update", data: {}, field_timestamps: {}, ...edit };
  return applyChange(state, row)?.fields;
}

describe("editOf", () => {
  const mission = stateOf({
    title: "A",
    cadence: { kind: "interval", everyMinutes: 30 },
    inputs: [],
    iterations: [{ id: "i" }],
  });

  it("sends the changed leaves of an object, null for one that went away, and all lists", () => {
    const edit = editOf(mission, { cadence: { kind: "daily", atHour: 9, atMinute: 0 } }, T1);
    expect(edit?.data).toEqual({
      inputs: [],
      iterations: [{ id: "i" }],
      "cadence.kind": "daily",
      "cadence.everyMinutes": null,
      "cadence.atHour": 9,
      "cadence.atMinute": 0,
    });
    expect(new Set(Object.values(edit?.field_timestamps ?? {}))).toEqual(new Set([T1]));
    expect(Object.keys(edit?.field_timestamps ?? {})).toEqual(Object.keys(edit?.data ?? {}));
  });

  it("sends nothing where nothing changes", () => {
    expect(editOf(mission, { title: "A", cadence: { everyMinutes: 30, kind: "interval" } }, T1)).toBeUndefined();
    expect(editOf(mission, { nextRunAt: null, id: "other", __own: 1 }, T1)).toBeUndefined();
  });

  it("sends an object over nothing, and null over an object, whole", () => {
    const grant = { derivation: { tables: ["notes"] } };
    expect(editOf(mission, { grant }, T1)?.data).toEqual({ inputs: [], iterations: [{ id: "i" }], grant });
    expect(editOf(stateOf({ grant }), { grant: null }, T1)?.data).toEqual({ grant: null });
  });

  it("sends lists inside of objects by their dotted names", () => {
    const state = stateOf({ title: "A", grant: { derivation: { tables: ["notes"] } } });
    expect(editOf(state, { title: "B" }, T1)?.data).toEqual({ title: "B", "grant.derivation.tables": ["notes"] });
  });

  it("is what a device reads back", () => {
    const to = { kind: "weekly", dayOfWeek: 1, atHour: 7 };
    expect(after(mission, { cadence: to })?.cadence).toEqual({ ...to, everyMinutes: null });
    expect(after(stateOf({ a: { b: { c: 1 } } }), { a: { b: { d: [2] } } })).toEqual({ a: { b: { c: null, d: [2] } } });
  });

  it("writes the rows that April's own stores wrote", () => {
    const written = vectors<FoldVector>("dotted").filter(({ name }) => name.startsWith("written-by-a-device"));
    let compared = 0;
    for (const { rows } of written) {
      let state: RecordState | undefined;
      for (const row of rows) {
        const next = applyChange(state, row);
        if (state && next && row.op === "update") {
          compared += 1;
          // From the state before and after each of their rows ours must be the same row.
          const ours = editOf(state, next.fields, "2026-12-31T00:00:00.000Z");
          if (ours) expect(ours.data).toEqual(row.data);
          else expect(Object.values(row.data ?? {}).every((value) => Array.isArray(value))).toBe(true);
        }
        state = next;
      }
    }
    expect(compared).toBeGreaterThan(30);
  });
});

describe("stamp", () => {
  it.each([
    [[], T1],
    [["", T0], T1],
    [[T1], "2026-04-28T08:01:00.001Z"],
    [[T0, "2036-01-01T00:00:00.999Z"], "2036-01-01T00:00:01.000Z"],
    [["soon"], T1],
  ])("passes %j", (clocks, expected) => expect(stamp(T1, clocks)).toBe(expected));
});
