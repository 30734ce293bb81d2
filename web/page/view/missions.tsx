import { useState } from "preact/hooks";
import { focusLater } from "./focus";
import { usePage } from "./live";
import { MissionCard } from "./mission-card";
import { MissionForm } from "./mission-form";

/** All missions of the user, and the way to a new one. */
export function Missions() {
  const { contents, actions, say } = usePage();
  const [isCreating, setCreating] = useState(false);
  const close = () => {
    setCreating(false);
    focusLater("#new-mission");
  };
  return (
    <section id="missions" aria-labelledby="missions-heading" tabIndex={-1}>
      <h2 id="missions-heading">Missionen</h2>
      {contents.missions.length === 0 && !isCreating && (
        <p class="empty">
          Noch keine Mission. Beschreibe, woran Mana für dich arbeiten soll, auch wenn die App zu ist.
        </p>
      )}
      {contents.missions.map((mission) => (
        <MissionCard key={mission.id} mission={mission} />
      ))}
      {isCreating ? (
        <div class="card">
          <h3 id="new-mission-heading">Neue Mission</h3>
          <MissionForm
            labelledBy="new-mission-heading"
            submitLabel="Anlegen"
            onCancel={close}
            onSubmit={async (draft) => {
              await actions.createMission(draft);
              say(`Mission „${draft.title}“ ist angelegt.`);
              close();
            }}
          />
        </div>
      ) : (
        <button id="new-mission" type="button" onClick={() => setCreating(true)}>
          Neue Mission
        </button>
      )}
    </section>
  );
}
