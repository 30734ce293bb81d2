/** April's own staging judges ours, one mission after the other as it wrote them down. */
import { expect, it } from "vitest";
import { type Mission, type MissionIteration, type Proposal, planStaging } from "../../src/index";
import { type StagingVector, vectors } from "../support/vectors";

const NOW = "2026-04-15T09:00:00.000Z";

/** Decided without a proposal, as today's devices do: April asks again and forgets the decision, ours leaves it. */
const DECIDED = ["approved", "failed", "rejected", "skipped"].map(
  (status) => `step-already-${status}-without-proposal`,
);
/** Staged on another device: April shows no card, ours shows the one that the marker names. */
const STAGED_ELSEWHERE = ["already-staged", "old-staged-then-new", "one-of-two-already-staged"];
/** One step cannot be read: April marks nothing and stages the other again with each edit, ours stages it once. */
const UNREADABLE_STEP = ["step-without-intent-then-an-edit"];
/** The vectors that ours must not agree with, each with its reason above. */
const DIFFERENT = [...DECIDED, ...STAGED_ELSEWHERE, ...UNREADABLE_STEP];

const all = vectors<StagingVector>("staging");

/** Stages all missions, twice with the edit of the vector between, as the effect does. */
function stage({ missions, then_edited }: StagingVector) {
  const known = new Map<string, Proposal>();
  const after = structuredClone(missions);
  let ids = 0;
  const proposalId = () => `00000000-0000-4000-c000-${String((ids += 1)).padStart(12, "0")}`;
  const pass = () => {
    for (const mission of after) {
      const staging = planStaging(mission, { known, now: NOW, proposalId });
      for (const proposal of staging.proposals) known.set(proposal.id, proposal);
      if (staging.iterations) mission.iterations = staging.iterations;
    }
  };
  pass();
  for (const mission of after) if (mission.id === then_edited?.id) Object.assign(mission, then_edited.patch);
  pass();
  const iterations_after = Object.fromEntries(
    after.map((one): [string, MissionIteration[]] => [one.id, one.iterations]),
  );
  return { proposals: [...known.values()], iterations_after };
}

function outcome(name: string) {
  return stage(all.find((vector) => vector.name === name) as StagingVector);
}

it("has 32 vectors, and all that are named here", () => {
  expect(all).toHaveLength(32);
  const names = all.map(({ name }) => name);
  expect(DIFFERENT.filter((name) => !names.includes(name))).toEqual([]);
});

it.each(all.filter(({ name }) => !DIFFERENT.includes(name)))("as April: $name", (vector) => {
  const { proposals, iterations_after } = vector;
  expect(stage(vector)).toEqual({ proposals, iterations_after });
});

it.each(all.filter(({ name }) => DIFFERENT.includes(name)))("unlike April: $name", (vector) => {
  const { proposals, iterations_after } = vector;
  expect(stage(vector)).not.toEqual({ proposals, iterations_after });
});

it.each(DECIDED)("leaves a decision as it is: %s", (name) => {
  const before = all.find((vector) => vector.name === name)?.missions[0] as Mission;
  expect(outcome(name)).toEqual({ proposals: [], iterations_after: { [before.id]: before.iterations } });
});

it.each(STAGED_ELSEWHERE)("shows the card of a step that another device staged: %s", (name) => {
  const vector = all.find((one) => one.name === name) as StagingVector;
  const { proposals, iterations_after } = outcome(name);
  expect(iterations_after).toEqual(vector.iterations_after);
  const [card, ...others] = proposals;
  expect(card).toMatchObject({ id: "p-old", status: "pending", intent: { toolName: "staging_test_op" } });
  expect(others).toEqual(vector.proposals);
});

it.each(UNREADABLE_STEP)("stages the step that can be read, once: %s", (name) => {
  const { proposals, iterations_after } = outcome(name);
  expect(proposals).toHaveLength(1);
  const steps = iterations_after["m-1"]?.[0]?.plan;
  expect(steps?.map(({ proposalId }) => proposalId)).toEqual([proposals[0]?.id, undefined]);
});
