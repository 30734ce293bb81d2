// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * What a tick did. The JSON of `POST /internal/tick`.
 */
export type TickStats = { 
/**
 * The database's clock at the start of the tick, ISO 8601; this machine's where no database was asked.
 */
scannedAt: string, 
/**
 * Missions that this tick claimed.
 */
dueMissionCount: number, 
/**
 * Plans that passed validation.
 */
plansProduced: number, 
/**
 * Plans that were written to the log.
 */
plansWrittenBack: number, 
/**
 * Attempts without a usable plan though the model answered.
 */
parseFailures: number, 
/**
 * One line per error. The line of a mission starts with `mission <id>: `.
 */
errors: Array<string>, };
