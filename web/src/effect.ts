/** The staging effect: watches a device's missions and stages the service's plans. */
import { liveQuery } from "dexie";
import { DEVICE_ACTOR, type Host, inTransaction } from "./host";
import { planStaging, type Staging } from "./staging";
import type { Mission, Proposal } from "./types";

/** One tab at a time works through the plans. */
const LOCK = "mana-ai-staging";

/** How staging runs. */
export interface StagingOptions {
  /** The clock. By default the system's. */
  now?: () => string;
  /** `navigator.locks`, or null where there is none: then the transactions alone keep tabs apart. */
  locks?: LockManager | null;
  /** Told of a mission that cannot be staged. The others go on; it is tried again with the next change. */
  onError?: (missionId: string, error: unknown) => void;
}

/** A running effect. */
export interface StagingEffect {
  /** Ends it. No transaction begins after this returns. */
  stop(): void;
  /** Resolves when everything seen so far is staged. */
  settled(): Promise<void>;
}

type Snapshot = { missions: Mission[]; proposals: Proposal[] };

/**
 * Starts the effect. Changes that arrive while it works are taken up by one more pass, never by a second worker. What
 * has been done is in the database alone (markers and proposals), so reloads and further tabs find it there.
 */
export function startServerIterationStaging(host: Host, options: StagingOptions = {}): StagingEffect {
  const abort = new AbortController();
  let latest: Snapshot | undefined;
  let working: Promise<void> = Promise.resolve();
  let isWorking = false;

  const work = async () => {
    for (; latest && !abort.signal.aborted;) {
      const snapshot = latest;
      latest = undefined;
      await stageSnapshot(host, snapshot, options, abort.signal);
    }
    isWorking = false;
  };
  const subscription = liveQuery(() => read(host)).subscribe({
    next: (snapshot) => {
      latest = snapshot;
      if (isWorking || abort.signal.aborted) return;
      isWorking = true;
      working = work();
    },
    error: (error) => options.onError?.("", error),
  });
  return {
    stop: () => {
      abort.abort();
      subscription.unsubscribe();
    },
    settled: () => working,
  };
}

async function read(host: Host): Promise<Snapshot> {
  const [missions, proposals] = await Promise.all([host.missions.toArray(), host.proposals.toArray()]);
  return { missions, proposals };
}

/** The snapshot tells where there may be something to do; what is done is decided again inside the transaction. */
async function stageSnapshot(host: Host, seen: Snapshot, options: StagingOptions, signal: AbortSignal): Promise<void> {
  const now = options.now ?? (() => new Date().toISOString());
  const known = new Map(seen.proposals.map((proposal) => [proposal.id, proposal]));
  for (const mission of seen.missions) {
    if (signal.aborted) return;
    try {
      if (!hasWork(planStaging(mission, { known, now: now() }))) continue;
      await exclusively(options.locks, signal, () => stageMission(host, mission.id, now()));
    } catch (error) {
      if (!signal.aborted) options.onError?.(mission.id, error);
    }
  }
}

/** Proposals and markers are written together, or neither. */
async function stageMission(host: Host, missionId: string, now: string): Promise<void> {
  await inTransaction(host, async () => {
    const mission = await host.missions.get(missionId);
    if (!mission) return;
    const known = new Map<string, Proposal>();
    await host.proposals
      .where("missionId")
      .equals(missionId)
      .each((one) => void known.set(one.id, one));
    const { proposals, iterations } = planStaging(mission, { known, now });
    await host.proposals.bulkPut(proposals);
    if (iterations) await host.updateMission(missionId, { iterations }, DEVICE_ACTOR);
  });
}

function hasWork(staging: Staging): boolean {
  return staging.proposals.length > 0 || staging.iterations !== undefined;
}

/** A page that is not served securely has no locks. */
async function exclusively(given: LockManager | null | undefined, signal: AbortSignal, work: () => Promise<void>) {
  const locks = given === undefined ? globalThis.navigator?.locks : given;
  if (!locks) return work();
  await locks.request(LOCK, { signal }, () => (signal.aborted ? undefined : work()));
}
