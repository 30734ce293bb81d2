/** The sync contract of SYNC.md, from the device's side. */
import type { Actor, ChangeRow, Clocks, Fields } from "../../src/index";

/** A row as the log holds it. */
export interface LogRow extends ChangeRow {
  table_name: string;
  record_id: string;
  actor: Actor | null;
  schema_version: number;
}

/** A row to be pushed. */
export interface NewRow {
  id: string;
  table_name: string;
  record_id: string;
  op: ChangeRow["op"];
  data: Fields;
  field_timestamps: Clocks;
  actor: Actor;
}

/** From where to read on. */
export interface Cursor {
  since?: string | undefined;
  after?: string | undefined;
}

/** The origin answered, but not with what was asked for. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** No request waits longer for its answer. In milliseconds. */
const PATIENCE = 20_000;
/** A run asks a model, which thinks. In milliseconds. */
const PATIENCE_WITH_A_MODEL = 180_000;

/** What the device asks of mana-sync, and of the demo. */
export interface SyncApi {
  pull(app: string, clientId: string, cursor: Cursor, limit: number): Promise<LogRow[]>;
  push(app: string, clientId: string, changes: NewRow[]): Promise<void>;
  runMission(missionId: string): Promise<{ outcome: string; reason: string | null }>;
}

/** Over HTTP, from `origin` (empty: the page's own). */
export function httpApi(userId: string, origin = ""): SyncApi {
  const ask = async <T>(path: string, body?: unknown, patience = PATIENCE): Promise<T> => {
    const headers = { Authorization: `Bearer ${userId}`, "Content-Type": "application/json" };
    const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(origin + path, { ...request, headers, signal: AbortSignal.timeout(patience) });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response.status, String(answer.error ?? response.statusText));
    return answer as T;
  };
  return {
    pull: async (app, clientId, cursor, limit) => {
      const query = new URLSearchParams({ clientId, limit: String(limit) });
      if (cursor.since) query.set("since", cursor.since);
      if (cursor.after) query.set("after", cursor.after);
      return (await ask<{ changes: LogRow[] }>(`/sync/${app}?${query}`)).changes;
    },
    push: (app, clientId, changes) => ask(`/sync/${app}`, { clientId, changes }),
    runMission: (missionId) => ask("/demo/run", { missionId }, PATIENCE_WITH_A_MODEL),
  };
}
