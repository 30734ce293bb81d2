/**
 * The types of the wire, and those that only a device needs.
 *
 * `generated/` has the shape of the service's own types. Nothing else of this package describes the wire.
 */
export * from "./generated/index";

/** A record's fields by name, without `id`. */
export type Fields = Record<string, unknown>;

/** The time at which each field was last set, by the clock of the device that set it. Compared as text. */
export type Clocks = Record<string, string>;

/** A row of mana-sync's log, as much of it as a device needs to apply it. */
export interface ChangeRow {
  /** Orders rows that share `created_at`. */
  id: string;
  /** The start of the transaction that wrote the row. */
  created_at: string;
  op: "insert" | "update" | "delete";
  data: Fields | null;
  field_timestamps: Clocks | null;
}

/** One record after some rows were applied. */
export interface RecordState {
  fields: Fields;
  clocks: Clocks;
}
