import { useState } from "preact/hooks";
import { type Mission, type MissionIteration, readableIterations, stepsOf } from "../../src/index";
import { ITERATION_STATES, STEP_STATES } from "../words/messages";
import { momentInWords } from "../words/time";
import { usePage } from "./live";

/** Runs that are shown; older ones stay in the log. */
const SHOWN = 10;

/** What has been planned for a mission, newest first, and what its user said to it. */
export function History({ mission }: { mission: Mission }) {
  const iterations = readableIterations(mission.iterations);
  if (iterations.length === 0) return null;
  const shown = iterations.slice(-SHOWN).reverse();
  return (
    <details class="history">
      <summary>{iterations.length === 1 ? "Ein Plan bisher" : `${iterations.length} Pläne bisher`}</summary>
      <ol reversed start={iterations.length}>
        {shown.map((iteration) => (
          <Past key={iteration.id} mission={mission} iteration={iteration} isNewest={iteration === shown[0]} />
        ))}
      </ol>
    </details>
  );
}

function Past({ mission, iteration, isNewest }: { mission: Mission; iteration: MissionIteration; isNewest: boolean }) {
  return (
    <li>
      <p>
        <strong>{iteration.summary || "Ohne Zusammenfassung"}</strong>
        <br />
        <span class="muted">
          {iteration.startedAt && momentInWords(iteration.startedAt)} ·{" "}
          {ITERATION_STATES[iteration.overallStatus] ?? "unbekannt"}
        </span>
      </p>
      <ul>
        {stepsOf(iteration).map(([index, step]) => (
          <li key={index}>
            {step.summary || "Schritt"} <span class="muted">({STEP_STATES[step.status] ?? "unbekannt"})</span>
          </li>
        ))}
      </ul>
      {iteration.userFeedback && (
        <>
          <p class="said">Du hast gesagt: „{iteration.userFeedback}“</p>
          <p class="muted">{isNewest ? "Das geht in den nächsten Plan ein." : "Das lag dem nächsten Plan vor."}</p>
        </>
      )}
      {isNewest && <FeedbackForm mission={mission} iteration={iteration} />}
    </li>
  );
}

function FeedbackForm({ mission, iteration }: { mission: Mission; iteration: MissionIteration }) {
  const { actions, say } = usePage();
  const [text, setText] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    await actions.feedback(mission.id, iteration.id, text);
    setText("");
    say("Danke. Der nächste Plan bekommt deine Rückmeldung.");
  };
  return (
    <form onSubmit={(event) => void submit(event)}>
      <label>
        Rückmeldung zu diesem Plan
        <textarea
          rows={2}
          required
          maxLength={2000}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </label>
      <button type="submit">Rückmeldung geben</button>
    </form>
  );
}
