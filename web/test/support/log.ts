/** mana-sync's log in memory, with its rules: per user, append-only, ids unique, not a device's own rows. */
import { compare, fold, type Mission } from "../../src/index";
import type { LogRow, NewRow } from "../../page/device/api";

/** A row with what only the log knows of it. */
export type StoredRow = LogRow & { user_id: string; app_id: string; client_id: string };

/** All users' rows. */
export class Log {
  readonly rows: StoredRow[] = [];
  /** Forward only, in microseconds: two pushes never share a time. */
  private clock = 0;

  /** All rows of a push share one `created_at`, as those of one transaction do. */
  push(user_id: string, app_id: string, client_id: string, changes: NewRow[], createdAt = this.now()): void {
    for (const change of changes) {
      if (this.rows.some((row) => row.id === change.id)) continue;
      this.rows.push({ ...change, user_id, app_id, client_id, created_at: createdAt, schema_version: 1 });
    }
  }

  /** What a device gets. */
  pull(user: string, app: string, clientId: string, since: string, after: string, limit: number): LogRow[] {
    return this.rows
      .filter((row) => row.user_id === user && row.app_id === app && row.client_id !== clientId)
      .filter((row) => row.created_at > since || (row.created_at === since && after !== "" && row.id > after))
      .sort((a, b) => compare(a.created_at, b.created_at) || compare(a.id, b.id))
      .slice(0, limit);
  }

  /** A record as the log has it. */
  mission(user: string, id: string): Mission | undefined {
    const rows = this.rows.filter((row) => row.user_id === user && row.record_id === id && row.app_id === "ai");
    const state = fold(rows);
    return state && ({ ...state.fields, id } as unknown as Mission);
  }

  private now(): string {
    this.clock = Math.max(this.clock + 1, Date.now() * 1000);
    const millis = new Date(Math.floor(this.clock / 1000)).toISOString().slice(0, -1);
    return `${millis}${String(this.clock % 1000).padStart(3, "0")}Z`;
  }
}
