import { useState } from "preact/hooks";
import type { Mission } from "../../src/index";
import { cadenceInWords } from "../words/cadence";
import { errorInWords, MISSION_STATES, runInWords } from "../words/messages";
import { momentInWords } from "../words/time";
import { focusLater } from "./focus";
import { History } from "./history";
import { usePage } from "./live";
import { MissionForm } from "./mission-form";

/** One mission: what it is for, when it runs, and what can be done with it. */
export function MissionCard({ mission }: { mission: Mission }) {
  const { actions, say } = usePage();
  // As it was when its form was opened.
  const [opened, setOpened] = useState<Mission>();
  const heading = `mission-${mission.id}`;
  const close = () => {
    setOpened(undefined);
    focusLater(`[id="${heading}-edit"]`);
  };
  if (opened) {
    return (
      <article class="card" aria-labelledby={heading}>
        <h3 id={heading}>„{opened.title}“ bearbeiten</h3>
        <MissionForm
          mission={opened}
          labelledBy={heading}
          submitLabel="Speichern"
          onCancel={close}
          onSubmit={async (draft) => {
            await actions.editMission(opened, draft);
            say("Gespeichert.");
            close();
          }}
        />
      </article>
    );
  }
  return (
    <article class="card" aria-labelledby={heading}>
      <h3 id={heading}>{mission.title || "Ohne Titel"}</h3>
      <p>{mission.objective}</p>
      <p class="muted">{whenInWords(mission)}</p>
      <Buttons mission={mission} onEdit={() => setOpened(mission)} />
      <History mission={mission} />
    </article>
  );
}

function Buttons({ mission, onEdit }: { mission: Mission; onEdit: () => void }) {
  const { actions, say } = usePage();
  const [isPlanning, setPlanning] = useState(false);
  const isActive = mission.state === "active";
  // The names for a screen reader tell which mission's of many equal buttons this is.
  const planning = isPlanning ? "Plant …" : "Jetzt planen";
  const pausing = isActive ? "Pausieren" : "Fortsetzen";
  const run = async () => {
    setPlanning(true);
    say(`„${mission.title}“ wird geplant …`);
    const said = await actions.run(mission).then(runInWords, errorInWords);
    setPlanning(false);
    say(said);
  };
  return (
    <div class="buttons">
      {isActive && (
        <button
          type="button"
          aria-disabled={isPlanning}
          aria-label={`${planning}: ${mission.title}`}
          onClick={() => isPlanning || void run()}
        >
          {planning}
        </button>
      )}
      <button
        type="button"
        id={`mission-${mission.id}-edit`}
        aria-label={`Bearbeiten: ${mission.title}`}
        onClick={onEdit}
      >
        Bearbeiten
      </button>
      <button
        type="button"
        aria-label={`${pausing}: ${mission.title}`}
        onClick={() => void (isActive ? actions.pause(mission) : actions.resume(mission))}
      >
        {pausing}
      </button>
    </div>
  );
}

function whenInWords({ state, cadence, nextRunAt }: Mission): string {
  const rhythm = cadenceInWords(cadence);
  if (state !== "active") return `${MISSION_STATES[state] ?? "ruht"} · sonst ${rhythm}`;
  const next = nextRunAt ? ` · als Nächstes ${momentInWords(nextRunAt)}` : "";
  return `Plant ${rhythm}${next}`;
}
