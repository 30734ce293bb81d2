import { describe, expect, it } from "vitest";
import type { LogRow } from "../../page/device/api";
import { newId } from "../../page/device/ids";
import { updateRecord } from "../../page/device/write";
import { T0 } from "../support/device";
import { create, missionOf, USER, useLog } from "../support/synced";

const world = useLog();

describe("the wire", () => {
  it("sees a row that commits after a later one", async () => {
    const one = world.device();
    const row = (id: string, created_at: string): LogRow & Record<string, unknown> => ({
      id: newId(),
      record_id: id,
      table_name: "tasks",
      op: "insert",
      data: { title: id, createdAt: T0 },
      field_timestamps: {},
      actor: USER,
      schema_version: 1,
      created_at,
    });
    const put = (id: string, at: string) =>
      world.log.rows.push({ ...row(id, at), user_id: "alice", app_id: "todo", client_id: "other" });
    put("second", "2026-11-21T10:00:05.000000Z");
    await one.sync();
    put("first", "2026-11-21T10:00:04.000000Z");
    await one.sync();
    expect((await one.db.table("tasks").toArray()).map(({ id }) => id).sort()).toEqual(["first", "second"]);
  });

  it("does not apply a row twice: the whole object would undo its parts", async () => {
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    await one.sync();
    await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "interval", everyMinutes: 20 } }, USER);
    await one.sync();
    for (let round = 0; round < 3; round += 1) await two.sync();
    expect((await missionOf(two))?.cadence).toEqual({ kind: "interval", everyMinutes: 20 });
  });

  it("keeps the order of rows that one push brings", async () => {
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    for (const everyMinutes of [20, 30, 40]) {
      await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "interval", everyMinutes } }, USER);
    }
    await one.sync();
    expect(new Set(world.log.rows.map(({ created_at }) => created_at)).size).toBe(1);
    await two.sync();
    expect((await missionOf(two))?.cadence).toEqual({ kind: "interval", everyMinutes: 40 });
  });

  it("pushes again what was taken but not confirmed, and the log has it once", async () => {
    let fails = true;
    const one = world.device((api) => ({
      ...api,
      push: async (...args) => {
        await api.push(...args);
        if (fails) throw new TypeError("connection lost");
      },
    }));
    await create(one, "m");
    await expect(one.sync()).rejects.toThrow("connection lost");
    expect(await one.db.pendingRows.count()).toBe(1);
    fails = false;
    await one.sync();
    expect(world.log.rows).toHaveLength(1);
    expect(await one.db.pendingRows.count()).toBe(0);
  });

  it("reads a long log page by page", async () => {
    const one = world.device();
    for (let index = 0; index < 1200; index += 1) {
      const row = { id: newId(), table_name: "tasks", record_id: `t${index}`, op: "insert" as const, actor: USER };
      world.log.push(
        "alice",
        "todo",
        "other",
        [{ ...row, data: { title: "x", createdAt: T0 }, field_timestamps: {} }],
        "2026-11-21T10:00:00.000000Z",
      );
    }
    await one.sync();
    expect(await one.db.table("tasks").count()).toBe(1200);
  });

  it("leaves rows of a newer shape, and of tables it does not know, alone", async () => {
    const one = world.device();
    const row = {
      id: newId(),
      table_name: "tasks",
      record_id: "t",
      op: "insert" as const,
      data: { title: "x" },
      field_timestamps: {},
      actor: USER,
    };
    world.log.push("alice", "todo", "other", [row, { ...row, id: newId(), table_name: "labels" }]);
    for (const stored of world.log.rows) if (stored.table_name === "tasks") stored.schema_version = 2;
    await one.sync();
    expect(await one.db.table("tasks").count()).toBe(0);
  });

  it("ids sort by the time at which they were made", () => {
    const ids = Array.from({ length: 5000 }, () => newId());
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(5000);
    expect(ids[0]).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});
