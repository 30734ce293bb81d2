import { afterEach, describe, expect, it } from "vitest";
import { type StagingEffect, type StagingOptions, startServerIterationStaging } from "../../src/index";
import { insertRecord, updateRecord } from "../../page/device/write";
import { mission, openDevice, plan, pulled, settledProposals } from "../support/device";
import { lockManager } from "../support/locks";

const effects: StagingEffect[] = [];
afterEach(() => effects.splice(0).forEach((effect) => effect.stop()));

function start(device: ReturnType<typeof openDevice>, options: StagingOptions = {}): StagingEffect {
  const effect = startServerIterationStaging(device.host, options);
  effects.push(effect);
  return effect;
}

describe("startServerIterationStaging", () => {
  it("makes one proposal per step of 8 missions with 3 unread plans each, all at once", async () => {
    const device = openDevice();
    start(device);
    const ids = Array.from({ length: 8 }, (_, index) => `m${index}`);
    await pulled(
      device.db,
      ...ids.map((id) =>
        mission(
          id,
          ["a", "b", "c"].map((part) => plan(`${id}-${part}`)),
        ),
      ),
    );
    const proposals = await settledProposals(device.db);
    expect(proposals).toHaveLength(48);
    const steps = (await device.db.aiMissions.toArray()).flatMap((one) => one.iterations.flatMap((it) => it.plan));
    expect(steps.map((step) => step.proposalId).sort()).toEqual(proposals.map(({ id }) => id).sort());
    expect(new Set(steps.map((step) => step.status))).toEqual(new Set(["staged"]));
  });

  it("takes what arrives while it works, without a second worker", async () => {
    const device = openDevice();
    const locks = lockManager();
    start(device, { locks });
    for (let index = 0; index < 10; index += 1) {
      await pulled(device.db, mission(`m${index}`, [plan(`i${index}`)]));
      await new Promise((resolve) => setTimeout(resolve, index));
    }
    expect(await settledProposals(device.db)).toHaveLength(20);
    expect(locks.mostAsked).toBe(1);
  });

  it("writes each mission's markers in one row, as the device itself", async () => {
    const device = openDevice();
    await pulled(device.db, mission("m", [plan("a"), plan("b")]));
    start(device);
    await settledProposals(device.db);
    const rows = await device.db.pendingRows.toArray();
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ op: "update", record_id: "m", actor: { kind: "system", source: "projection" } });
    expect(Object.keys(rows[0]?.data ?? {}).sort()).toEqual(["inputs", "iterations"]);
  });

  it("does nothing after a reload, and with the proposals lost makes the same ones again", async () => {
    const first = openDevice();
    await pulled(first.db, mission("m", [plan("a")]));
    start(first);
    const before = await settledProposals(first.db);
    effects.splice(0).forEach((effect) => effect.stop());
    first.db.close();

    const reloaded = openDevice(first.user);
    start(reloaded);
    expect(await settledProposals(reloaded.db)).toEqual(before);
    await reloaded.db.pendingProposals.clear();
    expect((await settledProposals(reloaded.db)).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
  });

  it("stages once in two tabs, one at a time", async () => {
    const one = openDevice();
    const two = openDevice(one.user);
    const locks = lockManager();
    start(one, { locks });
    start(two, { locks });
    await pulled(one.db, ...["m1", "m2", "m3"].map((id) => mission(id, [plan(`${id}-a`), plan(`${id}-b`)])));
    expect(await settledProposals(two.db)).toHaveLength(12);
    expect(await one.db.pendingRows.count()).toBe(3);
    expect(locks.most).toBe(1);
  });

  it("stages once in two tabs without locks", async () => {
    const one = openDevice();
    const two = openDevice(one.user);
    start(one, { locks: null });
    start(two, { locks: null });
    await pulled(one.db, ...["m1", "m2", "m3"].map((id) => mission(id, [plan(`${id}-a`), plan(`${id}-b`)])));
    expect(await settledProposals(two.db)).toHaveLength(12);
    expect(await one.db.pendingRows.count()).toBe(3);
  });

  it("goes on after a mission that it cannot stage, and tells", async () => {
    const device = openDevice();
    const failed: string[] = [];
    const { updateMission } = device.host;
    device.host.updateMission = (id, patch, actor) => {
      if (id === "m1") throw new Error("broken");
      return updateMission(id, patch, actor);
    };
    start(device, { onError: (id) => failed.push(id) });
    const odd = { plan: null, id: "odd", source: "server" } as never;
    await pulled(device.db, mission("m0", [odd, plan("i0")]), mission("m1", [plan("i1")]), mission("m2", [plan("i2")]));
    await pulled(device.db, { id: "m3", iterations: "none" as never }, { id: "m4" });
    const proposals = await settledProposals(device.db);
    expect(proposals.map(({ missionId }) => missionId).sort()).toEqual(["m0", "m0", "m2", "m2"]);
    expect(new Set(failed)).toEqual(new Set(["m1"]));
  });

  it("gives no write of the user the actor of the AI", async () => {
    const device = openDevice();
    start(device);
    await pulled(device.db, ...["m1", "m2"].map((id) => mission(id, [plan(`${id}-a`), plan(`${id}-b`)])));
    await insertRecord(device.db, "tasks", "mine", { title: "Eigene" }, { kind: "user" });
    await updateRecord(device.db, "aiMissions", "m1", { title: "Neu" }, { kind: "user" });
    await settledProposals(device.db);
    const rows = await device.db.pendingRows.toArray();
    const byUser = rows.filter((row) => row.actor.kind === "user").map((row) => row.record_id);
    expect(byUser.sort()).toEqual(["m1", "mine"]);
    expect(rows.filter((row) => row.actor.kind === "ai")).toEqual([]);
  });

  it("marks a step again whose marker an old list overwrote, and asks nobody twice", async () => {
    const device = openDevice();
    start(device);
    await pulled(device.db, mission("m", [plan("a")]));
    const before = await settledProposals(device.db);
    await pulled(device.db, mission("m", [plan("a")]));
    expect(await settledProposals(device.db)).toEqual(before);
    const stored = await device.db.aiMissions.get("m");
    expect(stored?.iterations[0]?.plan.map((step) => step.proposalId)).toEqual(before.map(({ id }) => id));
  });
});
