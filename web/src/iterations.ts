/**
 * Iterations are a set: no device removes one, and none changes more than its own fields of one. Last-writer-wins on
 * the whole list can lose a plan all the same, since a device that has not pulled writes its old list over ours with
 * every edit. These functions bring back what was lost.
 */
import { isObject } from "./keypath";
import type { MissionIteration, PlanStep, StepStatus } from "./types";

/** Later states of a step win over earlier ones. What has been carried out wins over everything. */
const RANK: Record<StepStatus, number> = { planned: 0, staged: 1, skipped: 2, rejected: 3, failed: 4, approved: 5 };

/** Has somebody decided on it, or carried it out? */
export function isDecided(status: unknown): boolean {
  return rank(status) > RANK.staged;
}

/** The later of two states of a step. */
export function laterStatus(a: StepStatus, b: StepStatus): StepStatus {
  return rank(b) > rank(a) ? b : a;
}

/** The elements that can be read: any writer may have put anything into the list. */
export function readable(iterations: unknown): MissionIteration[] {
  return Array.isArray(iterations) ? iterations.filter((one) => isObject(one) && typeof one.id === "string") : [];
}

/** The steps that can be read, with their place in the plan. */
export function stepsOf(iteration: MissionIteration): Array<[number, PlanStep]> {
  return Array.isArray(iteration.plan) ? [...iteration.plan.entries()].filter(([, step]) => isObject(step)) : [];
}

/**
 * `winner` with what only `other` has: its iterations, decisions, markers and feedback. Where both say something, the
 * winner counts. Gives back `winner` itself where `other` adds nothing.
 */
export function mergeIterations(winner: readonly MissionIteration[], other: unknown): readonly MissionIteration[] {
  const theirs = new Map(readable(other).map((iteration) => [iteration.id, iteration]));
  const known = new Set(readable(winner).map((iteration) => iteration.id));
  const merged = winner.map((iteration) => {
    const match = isObject(iteration) ? theirs.get(iteration.id) : undefined;
    return match ? mergeIteration(iteration, match) : iteration;
  });
  const missing = [...theirs.values()].filter((iteration) => !known.has(iteration.id));
  if (missing.length === 0 && merged.every((iteration, index) => iteration === winner[index])) return winner;
  return [...merged, ...missing].sort(byStart);
}

/** The state of a whole iteration that follows from its steps; what it was where some are undecided. */
export function overallStatus(iteration: MissionIteration): MissionIteration["overallStatus"] {
  const steps = stepsOf(iteration).map(([, step]) => step);
  const calls = steps.filter((step) => step.intent?.kind === "toolCall");
  if (calls.length === 0 || !calls.every((step) => isDecided(step.status))) return iteration.overallStatus;
  for (const status of ["approved", "failed"] as const) {
    if (calls.some((step) => step.status === status)) return status;
  }
  return "rejected";
}

function mergeIteration(ours: MissionIteration, theirs: MissionIteration): MissionIteration {
  const plan = mergePlan(ours, theirs);
  const userFeedback = ours.userFeedback || theirs.userFeedback;
  const finishes = ours.overallStatus === "running" && theirs.overallStatus !== "running";
  if (plan === ours.plan && userFeedback === ours.userFeedback && !finishes) return ours;
  // A finished run has other fields than a running one, and none of its phases.
  const merged = { ...(finishes ? theirs : ours), plan, ...(userFeedback && { userFeedback }) };
  return { ...merged, overallStatus: overallStatus(merged) };
}

function mergePlan(ours: MissionIteration, theirs: MissionIteration): PlanStep[] {
  // A running iteration has no plan yet; the one that has a plan is the later one.
  if (stepsOf(ours).length === 0) return stepsOf(theirs).length === 0 ? ours.plan : theirs.plan;
  const byId = new Map(stepsOf(theirs).map(([, step]) => [step.id, step]));
  const plan = ours.plan.map((step) => (isObject(step) ? mergeStep(step, byId.get(step.id)) : step));
  return plan.some((step, index) => step !== ours.plan[index]) ? plan : ours.plan;
}

function mergeStep(ours: PlanStep, theirs: PlanStep | undefined): PlanStep {
  if (!theirs) return ours;
  const status = laterStatus(ours.status, theirs.status);
  const proposalId = ours.proposalId || theirs.proposalId;
  if (status === ours.status && proposalId === ours.proposalId) return ours;
  return { ...ours, status, ...(proposalId && { proposalId }) };
}

function rank(status: unknown): number {
  return typeof status === "string" && Object.hasOwn(RANK, status) ? RANK[status as StepStatus] : 0;
}

/** Without a usable start an iteration keeps its place: sorting is stable. */
function byStart(a: MissionIteration, b: MissionIteration): number {
  const [one, two] = [a?.startedAt, b?.startedAt];
  if (typeof one !== "string" || typeof two !== "string") return 0;
  return one < two ? -1 : one > two ? 1 : 0;
}
