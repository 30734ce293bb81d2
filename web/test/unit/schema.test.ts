/** The schema of the plan, against what the service makes of the same answers. */
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { vectors } from "../support/vectors";

interface ParserVector {
  name: string;
  text: string;
  tools: string[];
  expected: { ok: boolean };
}

const file = new URL("../../src/generated/plan.schema.json", import.meta.url);
const isPlan = new Ajv2020().compile(JSON.parse(readFileSync(file, "utf8")));

/** The bare answers; fences are not the schema's business. */
const bare = vectors<ParserVector>("parser").flatMap(({ text, ...vector }) => {
  try {
    return [{ ...vector, plan: JSON.parse(text) }];
  } catch {
    return [];
  }
});

const step = (toolName: string, params: unknown) => ({ steps: [{ toolName, params, rationale: "Weil" }] });
const event = (startTime: string) => step("create_event", { title: "x", startTime, endTime: "2026-12-01T10:00" });

describe("plan.schema.json", () => {
  it("takes no answer that the parser refuses", () => {
    const taken = bare.filter(({ plan }) => isPlan(plan));
    expect(taken.length).toBeGreaterThan(3);
    expect(bare.length - taken.length).toBeGreaterThan(5);
    expect(taken.filter(({ expected }) => !expected.ok)).toEqual([]);
  });

  it.each([
    step("create_task", { title: "x", dueDate: "2026-12-01", priority: "low", more: [1] }),
    step("undo_last_drink", {}),
    event("2026-12-01T09:00:00+01:00"),
    { steps: [] },
  ])("takes %j", (plan) => expect(isPlan(plan)).toBe(true));

  it.each([
    step("create_task", {}),
    step("create_task", { title: " " }),
    step("create_task", { title: "x", dueDate: "2026-13-01" }),
    step("create_task", { title: "x", priority: "urgent" }),
    step("create_place", { name: "x", latitude: "1", longitude: 2 }),
    step("rm_rf", {}),
    event("2026-12-01 09:00"),
    event("20261201T090000Z"),
    { steps: [{ toolName: "undo_last_drink", params: {} }] },
    { steps: Array.from({ length: 6 }, () => step("undo_last_drink", {}).steps[0]) },
    [],
  ])("refuses %j", (plan) => expect(isPlan(plan)).toBe(false));
});
