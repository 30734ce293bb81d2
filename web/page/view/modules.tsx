import { type Proposal, TOOLS } from "../../src/index";
import { GhostCard } from "./ghost-card";
import { usePage } from "./live";
import { Events, Places, Tasks } from "./landed";

/** The apps that a plan may touch, in the order of the page. */
const MODULES = [
  { id: "todo", name: "Aufgaben", Landed: Tasks },
  { id: "calendar", name: "Kalender", Landed: Events },
  { id: "places", name: "Orte", Landed: Places },
  { id: "drink", name: "Getränke", Landed: () => null },
  { id: "other", name: "Anderes", Landed: () => null },
] as const;

/** Each module with the proposals that belong to it, and with what has landed there. */
export function Modules() {
  const { contents } = usePage();
  const filled: Record<string, number> = {
    todo: contents.tasks.length,
    calendar: contents.events.length,
    places: contents.places.length,
  };
  const shown = MODULES.map((module) => ({ ...module, proposals: of(module.id, contents.proposals) }));
  const used = shown.filter(({ id, proposals }) => proposals.length > 0 || filled[id]);
  if (used.length === 0) {
    return <p class="empty">Sobald Mana für eine deiner Missionen geplant hat, stehen die Vorschläge hier.</p>;
  }
  return (
    <>
      {used.map(({ id, name, proposals, Landed }) => (
        <section key={id} class="module" aria-labelledby={`module-${id}`}>
          <h3 id={`module-${id}`}>
            {name}
            {proposals.length > 0 && (
              <span class="count"> · {proposals.length === 1 ? "1 Vorschlag" : `${proposals.length} Vorschläge`}</span>
            )}
          </h3>
          {proposals.map((proposal) => (
            <GhostCard key={proposal.id} proposal={proposal} />
          ))}
          <Landed />
        </section>
      ))}
    </>
  );
}

function of(module: string, proposals: Proposal[]): Proposal[] {
  return proposals.filter(({ intent }) => moduleOf(intent.toolName) === module);
}

function moduleOf(toolName: string): string {
  const module = TOOLS.find((tool) => tool.name === toolName)?.module;
  return MODULES.some(({ id }) => id === module) ? (module as string) : "other";
}
