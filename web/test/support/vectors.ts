import { readFileSync } from "node:fs";
import type { ChangeRow, Clocks, Fields, Mission, Proposal } from "../../src/index";

/** Rows of one record, and what a real device made of them. */
export interface FoldVector {
  name: string;
  rows: ChangeRow[];
  expected: { record: Fields; field_timestamps: Clocks } | null;
}

/** Missions, and what a real device of April staged. */
export interface StagingVector {
  name: string;
  missions: Mission[];
  proposals: Proposal[];
  iterations_after: Record<string, Mission["iterations"]>;
  then_edited?: { id: string; patch: Partial<Mission> };
}

/** Reads one of the repository's vectors, which the Rust tests read as well. */
export function vectors<T>(name: string): T[] {
  const file = new URL(`../../../tests/vectors/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8")) as T[];
}
