/** Keeps this device and the log together: pulls, then pushes, app by app. */
import Dexie, { liveQuery } from "dexie";
import { Refused, type SyncApi } from "./api";
import { APPS, type DeviceDb } from "./db";
import { newId } from "./ids";
import { pullApp } from "./pull";

/** One tab at a time syncs. */
const LOCK = "mana-sync";
/** Rows of one push. */
const BATCH = 200;
/** Between two looks at the log while the page is visible. In milliseconds. */
const INTERVAL = 2_000;
/** After a write: several writes of one click go out together. In milliseconds. */
const DEBOUNCE = 200;

/** How the last round went. */
export type SyncStatus = "starting" | "synced" | "offline" | "refused";

/** A running sync. */
export interface Sync {
  /** Syncs now, after a round that may be under way. Throws what the origin answered, or that it did not. */
  now(): Promise<void>;
  stop(): void;
}

/** One round over all apps. */
export async function syncOnce(db: DeviceDb, api: SyncApi): Promise<void> {
  const clientId = await clientIdOf(db);
  for (const app of new Set(Object.values(APPS))) {
    // First theirs, then ours: what goes out has seen what was there.
    await pullApp(db, api, app, clientId);
    await pushApp(db, api, app, clientId);
  }
}

/** Syncs at once, after each write, when the browser is online again, and every two seconds while it is looked at. */
export function startSync(db: DeviceDb, api: SyncApi, onStatus: (status: SyncStatus) => void): Sync {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const round = async () => {
    try {
      await exclusively(() => syncOnce(db, api));
      if (!stopped) onStatus("synced");
    } catch (error) {
      if (!stopped) onStatus(error instanceof Refused ? "refused" : "offline");
      throw error;
    }
  };
  // Another tab of this browser that is looked at syncs for this one.
  const isHidden = () => globalThis.document?.hidden ?? false;
  const soon = (delay: number) => {
    clearTimeout(timer);
    if (stopped) return;
    timer = setTimeout(
      () =>
        void round()
          .catch(() => undefined)
          .finally(() => isHidden() || soon(INTERVAL)),
      delay,
    );
  };
  const wake = () => isHidden() || soon(0);
  const pending = liveQuery(() => db.pendingRows.count()).subscribe((count) => count > 0 && soon(DEBOUNCE));
  globalThis.addEventListener?.("online", wake);
  globalThis.document?.addEventListener("visibilitychange", wake);
  soon(0);
  return {
    now: round,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      pending.unsubscribe();
      globalThis.removeEventListener?.("online", wake);
      globalThis.document?.removeEventListener("visibilitychange", wake);
    },
  };
}

async function pushApp(db: DeviceDb, api: SyncApi, app: string, clientId: string): Promise<void> {
  for (;;) {
    const rows = await db.pendingRows.where("app").equals(app).sortBy("id");
    const batch = rows.slice(0, BATCH);
    if (batch.length === 0) return;
    const changes = batch.map(({ app: _, table, ...row }) => ({ ...row, table_name: table }));
    await api.push(app, clientId, changes);
    // Only now: a row whose answer was lost is pushed again, and the log knows its id.
    await db.pendingRows.bulkDelete(batch.map((row) => row.id));
  }
}

/** Who this device is in the log, so that it does not get its own rows back. */
async function clientIdOf(db: DeviceDb): Promise<string> {
  return db.transaction("rw", db.settings, async () => {
    const known = await db.settings.get("clientId");
    if (known) return known.value;
    const value = `web-${newId()}`;
    await db.settings.add({ key: "clientId", value });
    return value;
  });
}

async function exclusively(work: () => Promise<void>): Promise<void> {
  const locks = globalThis.navigator?.locks;
  await (locks ? locks.request(LOCK, work) : Dexie.Promise.resolve(work()));
}
