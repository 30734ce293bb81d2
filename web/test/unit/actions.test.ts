import { describe, expect, it } from "vitest";
import { actionsOf, type MissionDraft } from "../../page/actions";
import type { SyncApi } from "../../page/device/api";
import { updateRecord } from "../../page/device/write";
import { mission, openDevice, plan, pulled } from "../support/device";

function device(api: Partial<SyncApi> = {}, now = async () => {}) {
  const { db } = openDevice();
  return { db, actions: actionsOf(db, api as SyncApi, { now, stop: () => {} }) };
}

const draft: MissionDraft = {
  title: "Titel",
  objective: "Ziel",
  conceptMarkdown: "",
  cadence: { kind: "interval", everyMinutes: 60 },
};

describe("actions", () => {
  it("make a whole mission with its first slot", async () => {
    const { db, actions } = device();
    const before = Date.now();
    const id = await actions.createMission(draft);
    const stored = await db.aiMissions.get(id);
    expect(stored).toMatchObject({
      ...draft,
      state: "active",
      inputs: [],
      iterations: [],
      __createdBy: { kind: "user" },
    });
    expect(Date.parse(stored?.nextRunAt ?? "") - before).toBeGreaterThanOrEqual(3_600_000);
    expect(await db.pendingRows.toArray()).toMatchObject([
      { op: "insert", app: "ai", field_timestamps: {}, data: { id } },
    ]);
  });

  it("write only what the form changed: another device may have edited the rest since it was opened", async () => {
    const { db, actions } = device();
    const opened = mission("m", [plan("a")]);
    await pulled(db, opened);
    await updateRecord(db, "aiMissions", "m", { title: "Von anderswo" }, { kind: "user" });
    await actions.editMission(opened, { ...draft, title: opened.title, objective: "Neu", cadence: opened.cadence });
    expect(await db.aiMissions.get("m")).toMatchObject({ title: "Von anderswo", objective: "Neu" });
    const rows = await db.pendingRows.toArray();
    expect(Object.keys(rows.at(-1)?.data ?? {}).sort()).toEqual(["inputs", "iterations", "objective"]);
  });

  it("move the slot with the cadence, and write nothing where nothing changed", async () => {
    const { db, actions } = device();
    const nextRunAt = "2026-12-01T08:00:00.000Z";
    const cadence = { kind: "interval", everyMinutes: 60, atHour: null } as never;
    const opened = mission("m", [], { ...draft, cadence, nextRunAt });
    await pulled(db, opened);
    await actions.editMission(opened, draft);
    expect(await db.pendingRows.count()).toBe(0);
    await actions.editMission(opened, { ...draft, cadence: { kind: "manual" } });
    expect(await db.aiMissions.get("m")).toMatchObject({
      cadence: { kind: "manual", everyMinutes: null },
      nextRunAt: null,
    });
  });

  it("sync before the service plans, and after", async () => {
    const order: string[] = [];
    const runMission = async (id: string) => {
      order.push(`run ${id}`);
      return { outcome: "planned", reason: null };
    };
    const { actions } = device({ runMission }, async () => void order.push("sync"));
    expect(await actions.run(mission("m"))).toBe("planned");
    expect(order).toEqual(["sync", "run m", "sync"]);
  });

  it("plan nothing where ours did not arrive", async () => {
    const { actions } = device({}, () => Promise.reject(new TypeError("Failed to fetch")));
    await expect(actions.run(mission("m"))).rejects.toThrow("Failed to fetch");
  });
});
