import { afterEach, describe, expect, it } from "vitest";
import { type StagingEffect, type StagingOptions, startServerIterationStaging } from "../../src/index";
import { mission, openDevice, plan, pulled, settledProposals } from "../support/device";

const effects: StagingEffect[] = [];
afterEach(() => effects.splice(0).forEach((effect) => effect.stop()));

function start(device: ReturnType<typeof openDevice>, options: StagingOptions = {}): StagingEffect {
  const effect = startServerIterationStaging(device.host, options);
  effects.push(effect);
  return effect;
}

describe("a stopped effect", () => {
  it("begins nothing after it was stopped", async () => {
    const device = openDevice();
    const effect = start(device);
    await pulled(device.db, mission("m1", [plan("i1")]));
    await settledProposals(device.db);
    effect.stop();
    await pulled(device.db, mission("m2", [plan("i2")]));
    expect(await settledProposals(device.db)).toHaveLength(2);
  });

  it("stops between two missions", async () => {
    const device = openDevice();
    await pulled(device.db, ...["m1", "m2", "m3"].map((id) => mission(id, [plan(id)])));
    const { updateMission } = device.host;
    device.host.updateMission = (id, patch, actor) => {
      effect.stop();
      return updateMission(id, patch, actor);
    };
    const effect = start(device, { locks: null });
    expect(await settledProposals(device.db)).toHaveLength(2);
  });

  it("begins nothing if it is stopped while it waits for another tab", async () => {
    const device = openDevice();
    let grant = () => {};
    const request = (_: string, options: LockOptions, work: () => Promise<void>) =>
      new Promise<void>((resolve, reject) => {
        grant = () => resolve(work());
        options.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
    const errors: unknown[] = [];
    const locks = { request } as unknown as LockManager;
    const effect = start(device, { locks, onError: (_, error) => errors.push(error) });
    await pulled(device.db, mission("m1", [plan("i1")]));
    await settledProposals(device.db);
    effect.stop();
    grant();
    expect(await settledProposals(device.db)).toHaveLength(0);
    expect(errors).toEqual([]);
  });
});
