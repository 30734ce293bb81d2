import { beforeEach, describe, expect, it } from "vitest";
import { approve, type MissionIteration, type Proposal, reject } from "../../src/index";
import { startServerIterationStaging } from "../../src/effect";
import type { LogRow, SyncApi } from "../../page/device/api";
import { newId } from "../../page/device/ids";
import { syncOnce } from "../../page/device/sync";
import { insertRecord, updateRecord } from "../../page/device/write";
import { mission, openDevice, plan, T0 } from "../support/device";
import { Log } from "../support/log";
import { Service } from "../support/service";

const USER = { kind: "user" } as const;
let log: Log;
let service: Service;
beforeEach(() => {
  log = new Log();
  service = new Service(log);
});

/** One device of alice, with a way to fail. */
function device(change: (api: SyncApi) => SyncApi = (api) => api) {
  const { db, host } = openDevice();
  const api: SyncApi = change({
    pull: async (app, id, { since = "", after = "" }, limit) => log.pull("alice", app, id, since, after, limit),
    push: async (app, id, rows) => log.push("alice", app, id, rows),
    runMission: async () => ({ outcome: "planned", reason: null }),
  });
  return { db, host, sync: () => syncOnce(db, api) };
}

type Device = ReturnType<typeof device>;

async function create({ db }: Device, id: string, iterations: MissionIteration[] = []): Promise<void> {
  const { id: _, createdAt: _c, updatedAt: _u, ...fields } = mission(id, iterations);
  await insertRecord(db, "aiMissions", id, fields, USER);
}

async function stage({ db, host }: Device): Promise<Proposal[]> {
  const effect = startServerIterationStaging(host);
  await new Promise((resolve) => setTimeout(resolve, 60));
  await effect.settled();
  effect.stop();
  return db.pendingProposals.toArray();
}

const missionOf = ({ db }: Device, id = "m") => db.aiMissions.get(id);

describe("two devices", () => {
  it("have the same record after edits of both", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    await one.sync();
    await two.sync();
    await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "daily", atHour: 7, atMinute: 30 } }, USER);
    await updateRecord(two.db, "aiMissions", "m", { title: "Neu" }, USER);
    for (const { sync } of [one, two, one]) await sync();
    const after = await missionOf(one);
    expect(after).toMatchObject({ title: "Neu", cadence: { kind: "daily", atHour: 7, atMinute: 30 } });
    expect(await missionOf(two)).toEqual(after);
    expect(log.mission("alice", "m")).toMatchObject({ title: "Neu", cadence: { kind: "daily" } });
  });

  it("stage a plan once, even if both do it before they have synced", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    await one.sync();
    service.run("alice", "m");
    await one.sync();
    await two.sync();
    const [cards, others] = [await stage(one), await stage(two)];
    expect(cards).toHaveLength(2);
    expect(others.map(({ id }) => id)).toEqual(cards.map(({ id }) => id));
    for (const { sync } of [one, two, one]) await sync();
    expect([await stage(one), await stage(two)].map((all) => all.length)).toEqual([2, 2]);
  });

  it("make one task of a step that both approve before they have synced", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    await one.sync();
    service.run("alice", "m");
    for (const each of [one, two]) {
      await each.sync();
      const [card] = await stage(each);
      await approve(each.host, card?.id ?? "");
    }
    for (const { sync } of [one, two, one]) await sync();
    expect(await one.db.table("tasks").count()).toBe(1);
    expect(await two.db.table("tasks").count()).toBe(1);
  });

  it("agree on a decision that only one of them took", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    await one.sync();
    service.run("alice", "m");
    for (const each of [one, two]) {
      await each.sync();
      await stage(each);
    }
    await reject(one.host, (await stage(one))[0]?.id ?? "", "Nein.");
    for (const { sync } of [one, two]) await sync();
    expect((await stage(two)).map(({ status }) => status).sort()).toEqual(["pending", "rejected"]);
    for (const { sync } of [two, one]) await sync();
    expect((await missionOf(one))?.iterations[0]?.userFeedback).toBe("Nein.");
  });
});

describe("offline", () => {
  it("loses neither the plan that came meanwhile nor the edit", async () => {
    const one = device();
    await create(one, "m", [plan("old", 1)]);
    await one.sync();
    service.run("alice", "m");
    // Later than the plan, with the list that knows nothing of it.
    await new Promise((resolve) => setTimeout(resolve, 5));
    await updateRecord(one.db, "aiMissions", "m", { title: "Unterwegs" }, USER);
    await one.sync();
    const after = log.mission("alice", "m");
    expect(after?.title).toBe("Unterwegs");
    expect(after?.iterations).toHaveLength(2);
    expect(await missionOf(one)).toMatchObject({ title: "Unterwegs", iterations: after?.iterations });
  });

  it("keeps feedback that was written before the plan came", async () => {
    const one = device();
    await create(one, "m", [plan("old", 1)]);
    await one.sync();
    await updateRecord(one.db, "aiMissions", "m", { iterations: [plan("old", 1, { userFeedback: "Abends." })] }, USER);
    await new Promise((resolve) => setTimeout(resolve, 5));
    service.run("alice", "m");
    await one.sync();
    const iterations = log.mission("alice", "m")?.iterations;
    expect(iterations?.map(({ userFeedback }) => userFeedback)).toEqual(["Abends.", undefined]);
  });

  it("puts back a plan that a device of the old kind overwrote", async () => {
    const one = device();
    await create(one, "m");
    await one.sync();
    service.run("alice", "m");
    const later = new Date(Date.now() + 60_000).toISOString();
    const row = { id: newId(), table_name: "aiMissions", record_id: "m", op: "update" as const, actor: USER };
    const field_timestamps = { title: later, iterations: later, inputs: later };
    log.push("alice", "ai", "old-phone", [
      { ...row, data: { title: "Alt", iterations: [], inputs: [] }, field_timestamps },
    ]);
    expect(log.mission("alice", "m")?.iterations).toEqual([]);
    await one.sync();
    expect(log.mission("alice", "m")).toMatchObject({ title: "Alt", iterations: [{ source: "server" }] });
    const count = log.rows.length;
    await one.sync();
    expect(log.rows).toHaveLength(count);
  });
});

describe("the wire", () => {
  it("sees a row that commits after a later one", async () => {
    const one = device();
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
      log.rows.push({ ...row(id, at), user_id: "alice", app_id: "todo", client_id: "other" });
    put("second", "2026-11-21T10:00:05.000000Z");
    await one.sync();
    put("first", "2026-11-21T10:00:04.000000Z");
    await one.sync();
    expect((await one.db.table("tasks").toArray()).map(({ id }) => id).sort()).toEqual(["first", "second"]);
  });

  it("does not apply a row twice: the whole object would undo its parts", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    await one.sync();
    await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "interval", everyMinutes: 20 } }, USER);
    await one.sync();
    for (let round = 0; round < 3; round += 1) await two.sync();
    expect((await missionOf(two))?.cadence).toEqual({ kind: "interval", everyMinutes: 20 });
  });

  it("keeps the order of rows that one push brings", async () => {
    const [one, two] = [device(), device()];
    await create(one, "m");
    for (const everyMinutes of [20, 30, 40]) {
      await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "interval", everyMinutes } }, USER);
    }
    await one.sync();
    expect(new Set(log.rows.map(({ created_at }) => created_at)).size).toBe(1);
    await two.sync();
    expect((await missionOf(two))?.cadence).toEqual({ kind: "interval", everyMinutes: 40 });
  });

  it("pushes again what was taken but not confirmed, and the log has it once", async () => {
    let fails = true;
    const one = device((api) => ({
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
    expect(log.rows).toHaveLength(1);
    expect(await one.db.pendingRows.count()).toBe(0);
  });

  it("reads a long log page by page", async () => {
    const one = device();
    for (let index = 0; index < 1200; index += 1) {
      const row = { id: newId(), table_name: "tasks", record_id: `t${index}`, op: "insert" as const, actor: USER };
      log.push(
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
    const one = device();
    const row = {
      id: newId(),
      table_name: "tasks",
      record_id: "t",
      op: "insert" as const,
      data: { title: "x" },
      field_timestamps: {},
      actor: USER,
    };
    log.push("alice", "todo", "other", [row, { ...row, id: newId(), table_name: "labels" }]);
    for (const stored of log.rows) if (stored.table_name === "tasks") stored.schema_version = 2;
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
