import type { Stored } from "../device/db";
import { dayInWords, spanInWords } from "../words/time";
import { valueInWords } from "../words/params";
import { usePage } from "./live";

/** The tasks: open ones first, and of those the newest. */
export function Tasks() {
  const { contents, actions } = usePage();
  const isDone = (task: Stored) => Number(task.isCompleted === true);
  const tasks = contents.tasks.toReversed().sort((a, b) => isDone(a) - isDone(b));
  if (tasks.length === 0) return null;
  return (
    <ul class="landed">
      {tasks.map((task) => (
        <li key={task.id} class={task.isCompleted ? "done" : ""}>
          <label class="check">
            <input
              type="checkbox"
              checked={task.isCompleted === true}
              onChange={(event) => void actions.toggleTask(task.id, event.currentTarget.checked)}
            />
            <span>{text(task.title)}</span>
          </label>
          <Facts
            facts={[
              text(task.dueDate) && `fällig ${dayInWords(text(task.dueDate))}`,
              priority(task),
              text(task.description),
            ]}
          />
          <Attribution record={task} />
        </li>
      ))}
    </ul>
  );
}

/** The events with their times, which are records of their own. */
export function Events() {
  const { contents } = usePage();
  const blocks = new Map(contents.timeBlocks.map((block) => [block.id, block]));
  return (
    <ul class="landed">
      {contents.events.map((event) => {
        const block = blocks.get(text(event.timeBlockId));
        return (
          <li key={event.id}>
            <strong>{text(event.title)}</strong>
            <Facts facts={[block && whenInWords(block), text(event.location), text(event.description)]} />
            <Attribution record={event} />
          </li>
        );
      })}
    </ul>
  );
}

/** The places. */
export function Places() {
  const { contents } = usePage();
  return (
    <ul class="landed">
      {contents.places.map((place) => (
        <li key={place.id}>
          <strong>{text(place.name)}</strong>
          <Facts
            facts={[
              text(place.category) && valueInWords("category", place.category, () => undefined),
              text(place.address),
            ]}
          />
          <Attribution record={place} />
        </li>
      ))}
    </ul>
  );
}

function Facts({ facts }: { facts: Array<string | undefined> }) {
  const given = facts.filter(Boolean);
  return given.length > 0 ? <p>{given.join(" · ")}</p> : null;
}

/** By whom it was made: a person must be able to tell what the AI did. */
function Attribution({ record }: { record: Stored }) {
  const { contents } = usePage();
  const actor = record.__createdBy;
  if (actor?.kind !== "ai") return <p class="muted">{actor?.kind === "system" ? "Automatisch angelegt" : "Von dir"}</p>;
  const title = contents.missions.find(({ id }) => id === actor.missionId)?.title ?? "einer gelöschten Mission";
  return (
    <p class="muted">
      <span class="by-ai">Mana</span> für „{title}“, von dir angenommen. Warum: {actor.rationale}
    </p>
  );
}

function whenInWords({ startDate, endDate, allDay }: Stored): string {
  return allDay === true ? `${dayInWords(text(startDate))}, ganztägig` : spanInWords(text(startDate), text(endDate));
}

function priority(task: Stored): string | undefined {
  return task.priority ? `Priorität ${valueInWords("priority", task.priority, () => undefined)}` : undefined;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
