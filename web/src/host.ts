import type Dexie from "dexie";
import type { Table } from "dexie";
import type { Actor, Mission, Proposal } from "./types";

/**
 * What this package needs of a device's data layer. Every write names its actor: there is no actor of the moment that
 * a write of the user's, made while a tool runs, could pick up by mistake.
 */
export interface Host {
  db: Dexie;
  missions: Table<Mission, string>;
  proposals: Table<Proposal, string>;
  /** Every further table that the two functions below use. Their writes join one transaction. */
  alsoUsed: Table[];
  /** Changes fields of a mission, and notes it for the next sync. Must not wait for anything but the database. */
  updateMission(id: string, patch: Partial<Mission>, actor: Actor): PromiseLike<unknown>;
  /**
   * Carries out a tool under this actor. What it creates takes `recordId`, so that two devices that approve the same
   * step before they have synced make one record. Must not wait for anything but the database.
   */
  runTool(call: ToolCall): PromiseLike<unknown>;
}

/** A tool to be run. */
export interface ToolCall {
  toolName: string;
  /** As `checkParams` returned them: numbers are numbers. */
  params: Record<string, unknown>;
  actor: Actor;
  recordId: string;
}

/** The actor of what a device derives by itself, such as the markers in a plan. */
export const DEVICE_ACTOR: Actor = { kind: "system", source: "projection" };

/** Runs `work` in one read-write transaction over everything that the host's writes touch. */
export function inTransaction<T>(host: Host, work: () => Promise<T>): Promise<T> {
  return host.db.transaction("rw", [host.missions, host.proposals, ...host.alsoUsed], work);
}
