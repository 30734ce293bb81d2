// Made from the Rust types by `UPDATE_TYPES=1 cargo test --test it -- demo::types`. Do not edit.

/**
 * When a mission runs, in its user's local time. `dayOfWeek` 0 is Sunday.
 */
export type MissionCadence = { "kind": "manual" } | { "kind": "interval", everyMinutes: number, } | { "kind": "daily", atHour: number, atMinute: number, } | { "kind": "weekly", dayOfWeek: number, atHour: number, } | { "kind": "cron", expression: string, };
