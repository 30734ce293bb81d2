import { describe, expect, it } from "vitest";
import { approve, giveFeedback, planStaging, type Proposal, reject } from "../../src/index";
import { updateRecord } from "../../page/device/write";
import { mission, openDevice, plan, pulled, T0 } from "../support/device";

type Device = ReturnType<typeof openDevice>;

/** A device with the proposals of one plan. */
async function staged(steps = 2, change: (proposal: Proposal) => Proposal = (one) => one): Promise<Device> {
  const device = openDevice();
  const before = mission("m", [plan("a", steps)]);
  const { proposals, iterations } = planStaging(before, { known: new Map(), now: T0 });
  await pulled(device.db, { ...before, iterations: iterations ?? [] });
  await device.db.pendingProposals.bulkPut(proposals.map(change));
  return device;
}

const withIntent = (toolName: string, params: Record<string, unknown>) => (one: Proposal) => ({
  ...one,
  intent: { kind: "toolCall", toolName, params } as const,
});

const iteration = async ({ db }: Device) => (await db.aiMissions.get("m"))?.iterations[0];

describe("approve", () => {
  it("makes the task, attributed to the AI, and marks the step as the user", async () => {
    const device = await staged();
    expect(await approve(device.host, "proposal-a-0")).toEqual({ outcome: "done" });
    const actor = { kind: "ai", missionId: "m", iterationId: "a", rationale: "Weil a-0" };
    expect(await device.db.synced("tasks").toArray()).toMatchObject([
      { title: "Aufgabe a-0", isCompleted: false, __createdBy: actor },
    ]);
    const rows = await device.db.pendingRows.toArray();
    expect(rows.map((row) => [row.app, row.table, row.actor])).toEqual([
      ["todo", "tasks", actor],
      ["ai", "aiMissions", { kind: "user" }],
    ]);
    expect((await iteration(device))?.plan.map(({ status }) => status)).toEqual(["approved", "staged"]);
    expect((await iteration(device))?.overallStatus).toBe("awaiting-review");
  });

  it("is carried out once, however often it is clicked", async () => {
    const device = await staged();
    const decisions = await Promise.all([1, 2, 3].map(() => approve(device.host, "proposal-a-0")));
    expect(decisions.map(({ outcome }) => outcome).sort()).toEqual(["done", "settled", "settled"]);
    expect(await device.db.synced("tasks").toArray()).toHaveLength(1);
    expect(await reject(device.host, "proposal-a-0")).toEqual({ outcome: "settled", status: "approved" });
  });

  it("leaves a record alone that the same approval made on another device", async () => {
    const device = await staged();
    await device.db.synced("tasks").put({ id: "proposal-a-0", title: "Inzwischen geändert", __clocks: {} });
    expect(await approve(device.host, "proposal-a-0")).toEqual({ outcome: "done" });
    expect(await device.db.synced("tasks").toArray()).toMatchObject([{ title: "Inzwischen geändert" }]);
    expect((await device.db.pendingRows.toArray()).map(({ table }) => table)).toEqual(["aiMissions"]);
  });

  it("leaves the next write to the user", async () => {
    const device = await staged();
    const approving = approve(device.host, "proposal-a-0");
    await updateRecord(device.db, "aiMissions", "m", { title: "Neu" }, { kind: "user" });
    await approving;
    const rows = await device.db.pendingRows.toArray();
    expect(rows.find((row) => row.data.title === "Neu")?.actor).toEqual({ kind: "user" });
  });

  it.each([
    [
      "create_task",
      { title: "x", priority: "urgent" },
      { outcome: "bad parameter", parameter: "priority", fault: "not allowed" },
    ],
    ["create_task", {}, { outcome: "bad parameter", parameter: "title", fault: "missing" }],
    ["rm_rf", {}, { outcome: "unknown tool", toolName: "rm_rf" }],
  ])("refuses %s %j and writes nothing", async (tool, params, expected) => {
    const device = await staged(1, withIntent(tool, params));
    expect(await approve(device.host, "proposal-a-0")).toEqual(expected);
    expect(await device.db.pendingRows.count()).toBe(0);
    expect((await device.db.pendingProposals.get("proposal-a-0"))?.status).toBe("pending");
  });

  it("writes nothing where the tool fails", async () => {
    const device = await staged(1, withIntent("complete_task", { taskId: "none" }));
    await expect(approve(device.host, "proposal-a-0")).rejects.toThrow("Diese Aufgabe gibt es auf diesem Gerät nicht.");
    expect(await device.db.pendingRows.count()).toBe(0);
    expect((await device.db.pendingProposals.get("proposal-a-0"))?.status).toBe("pending");
  });

  it("knows its proposals", async () => {
    const device = await staged();
    expect(await approve(device.host, "other")).toEqual({ outcome: "unknown proposal" });
  });

  it.each([
    ["create_event", { title: "T", startTime: T0, endTime: T0, location: "L" }, ["timeBlocks", "events"]],
    ["create_place", { name: "P", latitude: "52.5", longitude: 13 }, ["places"]],
  ])("runs %s", async (tool, params, tables) => {
    const device = await staged(1, withIntent(tool, params));
    await approve(device.host, "proposal-a-0");
    const rows = (await device.db.pendingRows.toArray()).filter((row) => row.op === "insert");
    expect(rows.map(({ table }) => table)).toEqual(tables);
    expect(rows.every((row) => row.actor.kind === "ai" && row.record_id === "proposal-a-0")).toBe(true);
  });
});

describe("reject", () => {
  it("marks the step and hands the feedback to the next plan", async () => {
    const device = await staged();
    await reject(device.host, "proposal-a-0", " Lieber abends. ");
    await reject(device.host, "proposal-a-1", "Zu viel.");
    expect(await iteration(device)).toMatchObject({
      overallStatus: "rejected",
      userFeedback: "Lieber abends.\nZu viel.",
      plan: [{ status: "rejected" }, { status: "rejected" }],
    });
    expect(await device.db.synced("tasks").toArray()).toEqual([]);
    expect((await device.db.pendingProposals.get("proposal-a-0"))?.userFeedback).toBe("Lieber abends.");
  });

  it("ends the plan as approved where one step was", async () => {
    const device = await staged();
    await approve(device.host, "proposal-a-0");
    await reject(device.host, "proposal-a-1");
    const after = await iteration(device);
    expect(after?.overallStatus).toBe("approved");
    expect(after).not.toHaveProperty("userFeedback");
  });
});

it("feedback to a whole plan is added to what was said", async () => {
  const device = await staged();
  await giveFeedback(device.host, "m", "a", "Gut so.");
  await giveFeedback(device.host, "m", "a", "  ");
  await giveFeedback(device.host, "m", "a", "Weiter.");
  expect((await iteration(device))?.userFeedback).toBe("Gut so.\nWeiter.");
  expect((await device.db.pendingRows.toArray()).every((row) => row.actor.kind === "user")).toBe(true);
});
