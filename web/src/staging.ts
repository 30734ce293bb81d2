/** Plans of the service → proposals for the user. Pure: reads no clock and no database. */
import { isDecided, laterStatus, overallStatus, readable, stepsOf } from "./iterations";
import type { Mission, MissionIteration, PlanStep, Proposal, ProposalStatus, StepStatus } from "./types";

/** What a device has to write for one mission. Both parts in one transaction, or a crash leaves a proposal unmarked. */
export interface Staging {
  /** To be added or replaced, by id. */
  proposals: Proposal[];
  /** The mission's whole list with the markers; undefined where it stays as it is. */
  iterations?: MissionIteration[];
}

/** What staging must be told. */
export interface StagingInput {
  /** The device's proposals of this mission, by id. */
  known: ReadonlyMap<string, Proposal>;
  /** ISO 8601, for `createdAt`. */
  now: string;
  /** The id of a step's proposal. By default the same on every device. */
  proposalId?: (iterationId: string, index: number) => string;
}

/**
 * The id of a step's proposal: follows from the step, so two devices that stage it before they have synced make the
 * same one, and a step whose marker was overwritten finds its proposal again.
 */
export function proposalIdOf(iterationId: string, index: number): string {
  return `proposal-${iterationId}-${index}`;
}

/** Stages what no device has staged, and brings markers and proposals together where they have come apart. */
export function planStaging(mission: Mission, input: StagingInput): Staging {
  if (mission.deletedAt || !Array.isArray(mission.iterations)) return { proposals: [] };
  const proposals: Proposal[] = [];
  const changed = new Map<MissionIteration, MissionIteration>();
  for (const iteration of readable(mission.iterations)) {
    if (iteration.source !== "server") continue;
    const after = stageIteration(mission, iteration, input, proposals);
    if (after !== iteration) changed.set(iteration, after);
  }
  if (changed.size === 0) return { proposals };
  return { proposals, iterations: mission.iterations.map((iteration) => changed.get(iteration) ?? iteration) };
}

/** Would `planStaging` have anything to stage here? Cheap, for skipping what is settled. */
export function isUnstaged(iteration: MissionIteration): boolean {
  const steps = stepsOf(iteration).map(([, step]) => step);
  return iteration.source === "server" && !steps.some((step) => step.proposalId) && steps.some(isStageable);
}

function stageIteration(
  mission: Mission,
  iteration: MissionIteration,
  input: StagingInput,
  proposals: Proposal[],
): MissionIteration {
  const unstaged = isUnstaged(iteration);
  const plan = iteration.plan?.slice() ?? [];
  let changed = false;
  for (const [index, step] of stepsOf(iteration)) {
    const id = step.proposalId || (unstaged && isStageable(step) && idOf(iteration, index, input));
    if (typeof id !== "string" || !isToolCall(step)) continue;
    const proposal = input.known.get(id) ?? proposalOf(mission, iteration, step, id, input.now);
    const status = laterStatus(markedStatus(step), proposal.status === "pending" ? "staged" : proposal.status);
    if (status !== step.status || id !== step.proposalId) {
      plan[index] = { ...step, status, proposalId: id };
      changed = true;
    }
    collect(proposal, status, input, proposals);
  }
  if (!changed) return iteration;
  const after = { ...iteration, plan };
  return { ...after, overallStatus: overallStatus(after) };
}

/**
 * Adds the proposal where the device does not have it as it should be: it is new, or another device staged the step or
 * decided on it. A step that was decided before this device saw it needs no card.
 */
function collect(proposal: Proposal, status: StepStatus, input: StagingInput, proposals: Proposal[]): void {
  const decided = proposalStatus(status);
  const isKnown = input.known.has(proposal.id);
  if (isKnown ? decided !== proposal.status : decided === "pending") {
    proposals.push(decided === "pending" ? proposal : { ...proposal, status: decided, decidedAt: input.now });
  }
}

function proposalStatus(status: StepStatus): ProposalStatus {
  if (!isDecided(status)) return "pending";
  return status === "approved" || status === "failed" ? "approved" : "rejected";
}

/** A marker of another writer's stays as it is; one on a step that is still `planned` means staged. */
function markedStatus(step: PlanStep): StepStatus {
  return typeof step.status === "string" ? step.status : "planned";
}

/** Steps that somebody has decided on without a proposal, as today's devices do, are not asked about again. */
function isStageable(step: PlanStep): boolean {
  return isToolCall(step) && !isDecided(step.status);
}

function isToolCall(one: { intent?: PlanStep["intent"] }): boolean {
  return one.intent?.kind === "toolCall" && typeof one.intent.toolName === "string";
}

function idOf(iteration: MissionIteration, index: number, input: StagingInput): string {
  return (input.proposalId ?? proposalIdOf)(iteration.id, index);
}

function proposalOf(mission: Mission, iteration: MissionIteration, step: PlanStep, id: string, now: string): Proposal {
  const rationale = firstText(step.rationale, step.summary, iteration.summary, mission.objective);
  const origin = { missionId: mission.id, iterationId: iteration.id, rationale };
  const { toolName, params } = step.intent as Proposal["intent"];
  const intent: Proposal["intent"] = { kind: "toolCall", toolName, ...(params !== undefined && { params }) };
  return { id, createdAt: now, status: "pending", actor: { kind: "ai", ...origin }, ...origin, intent };
}

function firstText(...candidates: unknown[]): string {
  return candidates.find((text): text is string => typeof text === "string" && text !== "") ?? "";
}
