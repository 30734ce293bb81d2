import { describe, expect, it } from "vitest";
import { mergeIterations, type MissionIteration } from "../../src/index";

const T0 = "2026-04-28T08:00:00.000Z";
const T1 = "2026-04-28T08:01:00.000Z";

function iteration(id: string, more: object = {}): MissionIteration {
  const intent = { kind: "toolCall", toolName: "create_task", params: { title: "x" } } as const;
  const step = { id: `${id}-0`, summary: "s", status: "planned", intent } as const;
  return { id, startedAt: T0, plan: [step], overallStatus: "awaiting-review", source: "server", ...more };
}

function withStep(one: MissionIteration, change: object): MissionIteration {
  return { ...one, plan: one.plan.map((step) => ({ ...step, ...change })) };
}

describe("mergeIterations", () => {
  it("is the winner itself where the other adds nothing", () => {
    const winner = [withStep(iteration("a"), { status: "staged", proposalId: "p" })];
    expect(mergeIterations(winner, [iteration("a")])).toBe(winner);
    expect(mergeIterations(winner, null)).toBe(winner);
    expect(mergeIterations([], [])).toEqual([]);
  });

  it("brings back what is missing, in order of time", () => {
    const merged = mergeIterations([iteration("b", { startedAt: T1 })], [iteration("a")]);
    expect(merged.map(({ id }) => id)).toEqual(["a", "b"]);
  });

  it("keeps the later decision, whichever side has it", () => {
    const rejected = withStep(iteration("a"), { status: "rejected", proposalId: "p" });
    const approved = withStep(iteration("a"), { status: "approved", proposalId: "p" });
    for (const [one, two] of [
      [rejected, approved],
      [approved, rejected],
    ] as const) {
      const [merged] = mergeIterations([one], [two]);
      expect(merged?.plan[0]?.status).toBe("approved");
    }
    expect(mergeIterations([iteration("a")], [rejected])[0]).toMatchObject({ overallStatus: "rejected" });
  });

  it("keeps feedback that only one side has", () => {
    const [merged] = mergeIterations([iteration("a")], [iteration("a", { userFeedback: "nein" })]);
    expect(merged?.userFeedback).toBe("nein");
    const [kept] = mergeIterations(
      [iteration("a", { userFeedback: "neu" })],
      [iteration("a", { userFeedback: "alt" })],
    );
    expect(kept?.userFeedback).toBe("neu");
  });

  it("takes the finished run, without the phases of the running one", () => {
    const running = iteration("a", { overallStatus: "running", plan: [], currentPhase: "calling-llm" });
    const [merged] = mergeIterations([running], [iteration("a", { summary: "S" })]);
    expect(merged).toEqual(iteration("a", { summary: "S" }));
    const done = [iteration("a")];
    expect(mergeIterations(done, [running])).toBe(done);
  });

  it("gives the same set from both sides, and then is at rest", () => {
    const left = [withStep(iteration("a"), { status: "staged", proposalId: "p" }), iteration("b")];
    const right = [iteration("a", { userFeedback: "f" }), iteration("c")];
    const [one, two] = [mergeIterations(left, right), mergeIterations(right, left)];
    expect([...one].sort((a, b) => (a.id < b.id ? -1 : 1))).toEqual([...two].sort((a, b) => (a.id < b.id ? -1 : 1)));
    expect(mergeIterations(one, two)).toBe(one);
  });

  it("leaves what cannot be read where it is", () => {
    const odd = [null, 5, { id: 7 }, iteration("a", { plan: null }), iteration("b", { plan: [null] })] as never[];
    expect(mergeIterations(odd, odd)).toBe(odd);
    expect(mergeIterations(odd, [iteration("c")])).toHaveLength(6);
  });
});
