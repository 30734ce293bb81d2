// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * A record of another app that the mission is about.
 */
export type MissionInputRef = { 
/**
 * The app, such as `notes`.
 */
module: string, 
/**
 * Its table.
 */
table: string, 
/**
 * The record.
 */
id: string, };
