import { liveQuery } from "dexie";
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { type Mission, type Proposal, readableIterations, stepsOf } from "../../src/index";
import type { Actions } from "../actions";
import type { DeviceDb, Stored } from "../device/db";

/** Everything that the page shows, as this device has it. */
export interface Contents {
  missions: Mission[];
  proposals: Proposal[];
  tasks: Stored[];
  events: Stored[];
  timeBlocks: Stored[];
  places: Stored[];
  pendingCount: number;
}

/** What every part of the page can use. */
export interface Page {
  contents: Contents;
  actions: Actions;
  /** Says something, to eyes and to a screen reader. */
  say: (text: string) => void;
}

/** Set once, around everything. */
export const PageContext = createContext<Page | undefined>(undefined);

/** The page around a part of it. */
export function usePage(): Page {
  const page = useContext(PageContext);
  if (!page) throw new Error("no page around this part");
  return page;
}

/** The contents, read again whenever this tab, another one or the sync has changed them. */
export function useContents(db: DeviceDb): Contents | undefined {
  const [contents, setContents] = useState<Contents>();
  useEffect(() => {
    const subscription = liveQuery(() => readContents(db)).subscribe(setContents);
    return () => subscription.unsubscribe();
  }, [db]);
  return contents;
}

async function readContents(db: DeviceDb): Promise<Contents> {
  const living = async (table: "tasks" | "events" | "timeBlocks" | "places") =>
    (await db.synced(table).toArray()).filter((record) => !record.deletedAt).sort(byAge);
  const missions = (await db.aiMissions.toArray()).filter((mission) => !mission.deletedAt).sort(byAge);
  const known = new Set(missions.map(({ id }) => id));
  const pending = await db.pendingProposals.where("status").equals("pending").toArray();
  const [tasks, events, timeBlocks, places] = await Promise.all([
    living("tasks"),
    living("events"),
    living("timeBlocks"),
    living("places"),
  ]);
  return {
    missions,
    // A deleted mission's plans are nobody's business any more.
    proposals: inOrder(
      pending.filter(({ missionId }) => known.has(missionId)),
      missions,
    ),
    tasks,
    events,
    timeBlocks,
    places,
    pendingCount: await db.pendingRows.count(),
  };
}

/** Oldest first, so that a new plan moves no card away from under a finger; those of one plan in the order of its steps. */
function inOrder(proposals: Proposal[], missions: Mission[]): Proposal[] {
  const steps = missions.flatMap((mission) => readableIterations(mission.iterations)).flatMap(stepsOf);
  const places = new Map(steps.map(([place, step]) => [step.proposalId, place]));
  const placeOf = ({ id }: Proposal) => places.get(id) ?? 0;
  return proposals.sort((a, b) => a.createdAt.localeCompare(b.createdAt) || placeOf(a) - placeOf(b));
}

function byAge(a: { createdAt?: unknown; id: string }, b: { createdAt?: unknown; id: string }): number {
  const [one, two] = [`${a.createdAt ?? ""} ${a.id}`, `${b.createdAt ?? ""} ${b.id}`];
  return one < two ? -1 : one > two ? 1 : 0;
}
