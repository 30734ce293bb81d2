/** Plays mana-ai: reads a mission from the log, writes a prompt, and appends a plan the way the service does. */
import { randomUUID } from "node:crypto";
import { type Mission, type MissionIteration, type PlanStep, stamp } from "../../src/index";
import type { Log } from "./log";

/** A step without what the service adds to it. */
export type PlannedStep = Pick<PlanStep, "summary" | "rationale" | "intent">;
/** What the model would answer. */
export type Planner = (mission: Mission, prompt: string) => PlannedStep[];

/** Two tasks, the first with the last feedback in its rationale: so a test sees that the prompt was read. */
export const twoTasks: Planner = (mission, prompt) => {
  const said = prompt.split("rückmeldung: ").at(-1)?.split("\n")[0];
  const task = (summary: string, title: string, rationale: string): PlannedStep => ({
    summary,
    rationale,
    intent: { kind: "toolCall", toolName: "create_task", params: { title, priority: "medium" } },
  });
  const why = prompt.includes("rückmeldung: ")
    ? `Deine letzte Rückmeldung war: „${said}“`
    : "Ein erster, kleiner Schritt.";
  return [
    task(`Aufgabe anlegen: ${mission.objective}`, `Nächster Schritt: ${mission.objective}`, why),
    task("Rückblick vormerken", `Rückblick: ${mission.title}`, "Ein Rückblick zeigt, ob der Auftrag noch passt."),
  ];
};

/** The service, as far as a device can tell. */
export class Service {
  readonly prompts: Array<{ missionId: string; messages: Array<{ role: string; content: string }> }> = [];
  planner: Planner = twoTasks;

  constructor(private readonly log: Log) {}

  /** Plans a mission now. Undefined where the user has no such mission. */
  run(user: string, missionId: string): { outcome: string; reason: string | null; iterationId: string } | undefined {
    const mission = this.log.mission(user, missionId);
    if (!mission) return undefined;
    const prompt = promptOf(mission);
    this.prompts.push({ missionId, messages: [{ role: "user", content: prompt }] });
    const iteration = iterationOf(mission, this.planner(mission, prompt));
    this.append(user, mission, [...mission.iterations, iteration]);
    return { outcome: "planned", reason: null, iterationId: iteration.id };
  }

  /** One row with two fields under one timestamp, and no `updatedAt`. A run before its slot keeps the slot. */
  private append(user: string, mission: Mission, iterations: MissionIteration[]): void {
    const rows = this.log.rows.filter((row) => row.user_id === user && row.record_id === mission.id);
    const time = stamp(
      new Date().toISOString(),
      rows.flatMap((row) => row.field_timestamps?.iterations ?? []),
    );
    const data = { iterations, nextRunAt: mission.nextRunAt ?? null };
    const field_timestamps = { iterations: time, nextRunAt: time };
    const actor = { kind: "system", source: "mission-runner" } as const;
    const row = { id: randomUUID(), table_name: "aiMissions", record_id: mission.id, op: "update" as const };
    this.log.push(user, "ai", "mana-ai-runner", [{ ...row, data, field_timestamps, actor }]);
  }
}

function promptOf(mission: Mission): string {
  const past = mission.iterations.flatMap(({ plan, userFeedback }) => [
    ...plan.map((step) => `${step.status}: ${step.summary}`),
    ...(userFeedback ? [`rückmeldung: ${userFeedback.replaceAll("\n", " ")}`] : []),
  ]);
  return [`titel: ${mission.title}`, `ziel: ${mission.objective}`, ...past].join("\n");
}

function iterationOf(mission: Mission, steps: PlannedStep[]): MissionIteration {
  const id = randomUUID();
  const now = new Date().toISOString();
  return {
    id,
    startedAt: now,
    finishedAt: now,
    source: "server",
    overallStatus: steps.length > 0 ? "awaiting-review" : "approved",
    summary: `Nächster Schritt für „${mission.title}“`,
    plan: steps.map((step, index) => ({ id: `${id}-${index}`, status: "planned", ...step })),
  };
}
