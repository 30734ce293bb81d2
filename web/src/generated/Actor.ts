import type { SystemSource } from "./SystemSource";

/** Who a row is attributed to. Today's suite adds `principalId` and `displayName`; old rows have neither. */
export type Actor =
  | { kind: "user"; principalId?: string; displayName?: string }
  | {
      kind: "ai";
      missionId: string;
      iterationId: string;
      rationale: string;
      principalId?: string;
      displayName?: string;
    }
  | { kind: "system"; source?: SystemSource; principalId?: string; displayName?: string };
