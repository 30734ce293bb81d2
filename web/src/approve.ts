/** The user decides. Each decision is one transaction: the tool's rows, the proposal and the step, or nothing. */
import { type Host, inTransaction } from "./host";
import { laterStatus, overallStatus } from "./iterations";
import { checkParams, type ParamFault } from "./params";
import { type Mission, type MissionIteration, type Proposal, type StepStatus, TOOLS } from "./types";

/** How a decision ended. Nothing is written unless it is `done`. */
export type Decision =
  | { outcome: "done" }
  /** Decided already, in another tab or on another device. */
  | { outcome: "settled"; status: Proposal["status"] }
  | { outcome: "unknown proposal" }
  | { outcome: "unknown tool"; toolName: string }
  | { outcome: "bad parameter"; parameter: string; fault: ParamFault };

/** Runs the step's tool as the AI, and marks proposal and step. Throws what the tool throws; then nothing is written. */
export function approve(host: Host, proposalId: string, now = new Date().toISOString()): Promise<Decision> {
  return decide(host, proposalId, async (proposal) => {
    const { toolName } = proposal.intent;
    const tool = TOOLS.find((one) => one.name === toolName);
    if (!tool) return { outcome: "unknown tool", toolName };
    const checked = checkParams(tool, proposal.intent.params);
    if (!checked.ok) return { outcome: "bad parameter", parameter: checked.parameter, fault: checked.fault };
    await host.runTool({ toolName, params: checked.params, actor: proposal.actor, recordId: proposal.id });
    return settle(host, { ...proposal, status: "approved", decidedAt: now });
  });
}

/** Says no. The feedback goes into the iteration, where the service reads it for the next plan. */
export function reject(
  host: Host,
  proposalId: string,
  feedback = "",
  now = new Date().toISOString(),
): Promise<Decision> {
  return decide(host, proposalId, (proposal) => {
    const userFeedback = feedback.trim();
    return settle(host, { ...proposal, status: "rejected", decidedAt: now, ...(userFeedback && { userFeedback }) });
  });
}

/** Adds the user's words about a whole plan. What they said before stays. */
export function giveFeedback(host: Host, missionId: string, iterationId: string, feedback: string): Promise<void> {
  return inTransaction(host, async () => {
    await changeIteration(host, missionId, iterationId, (iteration) => withFeedback(iteration, feedback.trim()));
  });
}

/** Reads the proposal inside the transaction: a double click, or two tabs, decide once. */
function decide(host: Host, id: string, work: (proposal: Proposal) => Promise<Decision>): Promise<Decision> {
  return inTransaction(host, async () => {
    const proposal = await host.proposals.get(id);
    if (!proposal) return { outcome: "unknown proposal" };
    if (proposal.status !== "pending") return { outcome: "settled", status: proposal.status };
    return work(proposal);
  });
}

async function settle(host: Host, proposal: Proposal): Promise<Decision> {
  await host.proposals.put(proposal);
  await changeIteration(host, proposal.missionId, proposal.iterationId, (iteration) => {
    const plan = iteration.plan.map((step) =>
      step?.proposalId === proposal.id
        ? { ...step, status: laterStatus(step.status, proposal.status as StepStatus) }
        : step,
    );
    const marked = { ...withFeedback(iteration, proposal.userFeedback ?? ""), plan };
    return { ...marked, overallStatus: overallStatus(marked) };
  });
  return { outcome: "done" };
}

/** What the user decides about a plan is the user's own write, unlike what the tool does. */
async function changeIteration(
  host: Host,
  missionId: string,
  iterationId: string,
  change: (iteration: MissionIteration) => MissionIteration,
): Promise<void> {
  const mission: Mission | undefined = await host.missions.get(missionId);
  if (!mission) return;
  const iterations = mission.iterations.map((one) => (one?.id === iterationId ? change(one) : one));
  await host.updateMission(missionId, { iterations }, { kind: "user" });
}

function withFeedback(iteration: MissionIteration, feedback: string): MissionIteration {
  if (feedback === "") return iteration;
  const said = iteration.userFeedback ? `${iteration.userFeedback}\n${feedback}` : feedback;
  return { ...iteration, userFeedback: said };
}
