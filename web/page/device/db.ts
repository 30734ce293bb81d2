import Dexie, { type Table } from "dexie";
import type { Actor, Clocks, Fields, Mission, Proposal, RecordState } from "../../src/index";

/** A record as this device keeps it. Names that begin with `__` never leave the device. */
export type Stored = Fields & {
  id: string;
  __clocks: Clocks;
  /** Who wrote the row that made the record. */
  __createdBy?: Actor;
};

/** The tables that this device syncs: the app under which mana-sync keeps each. */
export const APPS = {
  aiMissions: "ai",
  tasks: "todo",
  events: "calendar",
  timeBlocks: "timeblocks",
  places: "places",
  drinkEntries: "drink",
} as const;

/** The name of a synced table. */
export type SyncedTable = keyof typeof APPS;

/** A row that waits to be pushed. */
export interface PendingRow {
  /** Sorts by time. The row has it in the log too, so a push whose answer was lost can be repeated. */
  id: string;
  app: string;
  table: SyncedTable;
  record_id: string;
  op: "insert" | "update" | "delete";
  data: Fields;
  field_timestamps: Clocks;
  actor: Actor;
}

/** A row of the log that this device has applied. */
export interface SeenRow {
  id: string;
  app: string;
  created_at: string;
}

/** This device's database. Each user has one of their own. */
export class DeviceDb extends Dexie {
  aiMissions!: Table<Mission & Stored, string>;
  pendingProposals!: Table<Proposal, string>;
  pendingRows!: Table<PendingRow, string>;
  seenRows!: Table<SeenRow, string>;
  settings!: Table<{ key: string; value: string }, string>;

  constructor(readonly userId: string) {
    super(`mana-inbox-${userId}`);
    const synced = Object.fromEntries(Object.keys(APPS).map((table) => [table, "id"]));
    this.version(1).stores({
      ...synced,
      pendingProposals: "id, missionId, status",
      pendingRows: "id, app, record_id",
      seenRows: "id, [app+created_at]",
      settings: "key",
    });
  }

  /** The table of that name, for code that works on any of them. */
  synced(table: SyncedTable): Table<Stored, string> {
    return this.table(table);
  }

  /** All tables that writing a record touches. */
  get written(): Table[] {
    return [...Object.keys(APPS).map((table) => this.table(table)), this.pendingRows];
  }
}

/** A record as the rules of the log see it. */
export function stateOf(stored: Stored | undefined): RecordState | undefined {
  if (!stored) return undefined;
  const { id: _, __clocks, __createdBy, ...fields } = stored;
  return { fields, clocks: __clocks };
}

/** The other way round. */
export function storedOf(id: string, state: RecordState, createdBy: Actor | undefined): Stored {
  return { ...state.fields, id, __clocks: state.clocks, ...(createdBy && { __createdBy: createdBy }) };
}
