/** What the page says when something was decided, planned, or went wrong. */
import type { Decision, IterationStatus, MissionState, StepStatus } from "../../src/index";
import { Refused } from "../device/api";
import { ToolError } from "../device/tools";
import { labelOf } from "./params";

const FAULTS = {
  missing: "fehlt",
  "no number": "ist keine Zahl",
  "not allowed": "hat einen Wert, den diese App nicht kennt",
};

const RUNS: Record<string, string> = {
  planned: "Ein neuer Plan ist da.",
  skipped: "Gerade gibt es nichts zu planen.",
  outdated: "Die Mission wurde während des Planens geändert. Bitte noch einmal versuchen.",
  "rate-limited": "Der Planer hat gerade viel zu tun. Bitte später noch einmal versuchen.",
};

/** Where a mission stands. */
export const MISSION_STATES: Record<MissionState, string> = {
  active: "läuft",
  paused: "pausiert",
  done: "erledigt",
  archived: "archiviert",
};

/** Where an iteration stands. */
export const ITERATION_STATES: Record<IterationStatus, string> = {
  running: "wird gerade geplant",
  "awaiting-review": "wartet auf dich",
  approved: "angenommen",
  rejected: "abgelehnt",
  failed: "nicht zustande gekommen",
};

/** Where a step stands. */
export const STEP_STATES: Record<StepStatus, string> = {
  planned: "neu",
  staged: "wartet auf dich",
  approved: "angenommen",
  rejected: "abgelehnt",
  skipped: "übersprungen",
  failed: "fehlgeschlagen",
};

/** Why a decision did not go through. Undefined where it did. */
export function problemOf(decision: Decision): string | undefined {
  switch (decision.outcome) {
    case "done":
      return undefined;
    case "settled":
      return "Darüber ist schon entschieden, in einem anderen Fenster oder auf einem anderen Gerät.";
    case "unknown proposal":
      return "Diesen Vorschlag gibt es nicht mehr.";
    case "unknown tool":
      return "Diese App kann das noch nicht ausführen. Du kannst den Vorschlag ablehnen.";
    case "bad parameter":
      return `„${labelOf(decision.parameter)}“ ${FAULTS[decision.fault]}. Es wurde nichts angelegt; du kannst den Vorschlag ablehnen.`;
  }
}

/** How planning on demand ended. */
export function runInWords(outcome: string): string {
  return RUNS[outcome] ?? "Diesmal kam kein Plan zustande. Deine Mission bleibt, wie sie ist.";
}

/** A sentence for any error. */
export function errorInWords(error: unknown): string {
  if (error instanceof ToolError) return error.message;
  if (!(error instanceof Refused))
    return "Keine Verbindung. Deine Änderungen sind gespeichert und werden nachgereicht.";
  if (error.status === 404)
    return "Diese Mission ist beim Planer noch nicht angekommen. Bitte gleich noch einmal versuchen.";
  if (error.status === 409)
    return "Diese Mission kann gerade nicht geplant werden, weil sie pausiert oder schon in Arbeit ist.";
  return "Der Planer ist gerade nicht zu erreichen. Bitte später noch einmal versuchen.";
}
