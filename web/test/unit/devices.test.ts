import { describe, expect, it } from "vitest";
import { approve, reject } from "../../src/index";
import { newId } from "../../page/device/ids";
import { updateRecord } from "../../page/device/write";
import { plan } from "../support/device";
import { create, missionOf, stage, USER, useLog } from "../support/synced";

const world = useLog();

describe("two devices", () => {
  it("have the same record after edits of both", async () => {
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    await one.sync();
    await two.sync();
    await updateRecord(one.db, "aiMissions", "m", { cadence: { kind: "daily", atHour: 7, atMinute: 30 } }, USER);
    await updateRecord(two.db, "aiMissions", "m", { title: "Neu" }, USER);
    for (const { sync } of [one, two, one]) await sync();
    const after = await missionOf(one);
    expect(after).toMatchObject({ title: "Neu", cadence: { kind: "daily", atHour: 7, atMinute: 30 } });
    expect(await missionOf(two)).toEqual(after);
    expect(world.log.mission("alice", "m")).toMatchObject({ title: "Neu", cadence: { kind: "daily" } });
  });

  it("stage a plan once, even if both do it before they have synced", async () => {
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    await one.sync();
    world.service.run("alice", "m");
    await one.sync();
    await two.sync();
    const [cards, others] = [await stage(one), await stage(two)];
    expect(cards).toHaveLength(2);
    expect(others.map(({ id }) => id)).toEqual(cards.map(({ id }) => id));
    for (const { sync } of [one, two, one]) await sync();
    expect([await stage(one), await stage(two)].map((all) => all.length)).toEqual([2, 2]);
  });

  it("make one task of a step that both approve before they have synced", async () => {
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    await one.sync();
    world.service.run("alice", "m");
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
    const [one, two] = [world.device(), world.device()];
    await create(one, "m");
    await one.sync();
    world.service.run("alice", "m");
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
    const one = world.device();
    await create(one, "m", [plan("old", 1)]);
    await one.sync();
    world.service.run("alice", "m");
    // Later than the plan, with the list that knows nothing of it.
    await new Promise((resolve) => setTimeout(resolve, 5));
    await updateRecord(one.db, "aiMissions", "m", { title: "Unterwegs" }, USER);
    await one.sync();
    const after = world.log.mission("alice", "m");
    expect(after?.title).toBe("Unterwegs");
    expect(after?.iterations).toHaveLength(2);
    expect(await missionOf(one)).toMatchObject({ title: "Unterwegs", iterations: after?.iterations });
  });

  it("keeps feedback that was written before the plan came", async () => {
    const one = world.device();
    await create(one, "m", [plan("old", 1)]);
    await one.sync();
    await updateRecord(one.db, "aiMissions", "m", { iterations: [plan("old", 1, { userFeedback: "Abends." })] }, USER);
    await new Promise((resolve) => setTimeout(resolve, 5));
    world.service.run("alice", "m");
    await one.sync();
    const iterations = world.log.mission("alice", "m")?.iterations;
    expect(iterations?.map(({ userFeedback }) => userFeedback)).toEqual(["Abends.", undefined]);
  });

  it("puts back a plan that a device of the old kind overwrote", async () => {
    const one = world.device();
    await create(one, "m");
    await one.sync();
    world.service.run("alice", "m");
    const later = new Date(Date.now() + 60_000).toISOString();
    const row = { id: newId(), table_name: "aiMissions", record_id: "m", op: "update" as const, actor: USER };
    const field_timestamps = { title: later, iterations: later, inputs: later };
    world.log.push("alice", "ai", "old-phone", [
      { ...row, data: { title: "Alt", iterations: [], inputs: [] }, field_timestamps },
    ]);
    expect(world.log.mission("alice", "m")?.iterations).toEqual([]);
    await one.sync();
    expect(world.log.mission("alice", "m")).toMatchObject({ title: "Alt", iterations: [{ source: "server" }] });
    const count = world.log.rows.length;
    await one.sync();
    expect(world.log.rows).toHaveLength(count);
  });
});
