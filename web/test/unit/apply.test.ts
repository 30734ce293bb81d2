import { describe, expect, it } from "vitest";
import { applyChange, type ChangeRow, fold } from "../../src/index";
import { type FoldVector, vectors } from "../support/vectors";

describe.each([
  ["lww", 300],
  ["dotted", 28],
])("%s.json", (name, count) => {
  const all = vectors<FoldVector>(name);
  it(`has ${count} sequences`, () => expect(all).toHaveLength(count));
  it.each(all)("$name", ({ rows, expected }) => {
    const folded = fold(rows);
    const { id: _, ...record } = expected?.record ?? {};
    expect(folded?.fields ?? null).toEqual(expected ? record : null);
    expect(folded?.clocks ?? null).toEqual(expected ? expected.field_timestamps : null);
  });
});

const row = (op: ChangeRow["op"], data: ChangeRow["data"], times: ChangeRow["field_timestamps"] = null): ChangeRow => ({
  id: "r",
  created_at: "2026-04-14T08:00:00.000Z",
  op,
  data,
  field_timestamps: times,
});

describe("applyChange", () => {
  it("leaves the state that it is given as it was", () => {
    const state = { fields: { cadence: { kind: "daily" } }, clocks: { cadence: "1" } };
    const copy = structuredClone(state);
    applyChange(state, row("update", { "cadence.kind": "manual" }, { "cadence.kind": "2" }));
    expect(state).toEqual(copy);
  });

  it("takes fields that are called like members of every object", () => {
    const after = applyChange(undefined, row("update", { constructor: 1 }, { constructor: "2" }));
    const again = applyChange(after, row("update", { constructor: 2 }, { constructor: "1" }));
    expect(again?.fields.constructor).toBe(1);
  });

  it("never reaches a prototype", () => {
    const state = { fields: { a: {} }, clocks: {} };
    const data = JSON.parse('{"a.__proto__.polluted": 1}');
    const after = applyChange(state, row("update", data, { "a.__proto__.polluted": "2" }));
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect((after?.fields.a as Record<string, unknown>).polluted).toBeUndefined();
  });

  it("survives rows without data", () => {
    expect(applyChange(undefined, row("insert", null))).toEqual({ fields: {}, clocks: {} });
    expect(applyChange({ fields: { a: 1 }, clocks: {} }, row("delete", null))).toBeUndefined();
  });
});
