import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { approve, type Decision, type Proposal, readableIterations, reject, stepsOf } from "../../src/index";
import { errorInWords, problemOf } from "../words/messages";
import { linesOf, toolInWords } from "../words/params";
import { momentInWords } from "../words/time";
import { neighbourOf } from "./focus";
import { type Contents, usePage } from "./live";

/** A step that waits for its user: not there yet, and drawn that way. */
export function GhostCard({ proposal }: { proposal: Proposal }) {
  const { contents } = usePage();
  const card = useRef<HTMLElement>(null);
  const heading = `card-${proposal.id}`;
  const { mission, summary } = originOf(proposal, contents);
  return (
    <article class="card ghost" ref={card} aria-labelledby={heading}>
      <p class="chip">Vorschlag · {toolInWords(proposal.intent.toolName)}</p>
      <h4 id={heading} tabIndex={-1}>
        {summary || toolInWords(proposal.intent.toolName)}
      </h4>
      <dl>
        {linesOf(proposal.intent.params, (id) => nameOf(id, contents)).map(({ label, text }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      {proposal.rationale !== summary && <p class="why">Warum: {proposal.rationale}</p>}
      <p class="muted">
        Aus „{mission}“, {momentInWords(proposal.createdAt)}
      </p>
      <Decide proposal={proposal} summary={summary} card={card} />
    </article>
  );
}

/** When the last card went away, by the page's clock. */
let lastDecision = Number.NEGATIVE_INFINITY;
/** The cards below move up: for so long a click may have been meant for the one that is gone. In milliseconds. */
const SETTLING = 500;

/** The second click of a double click must not approve the next card. Keys always mean what has the focus. */
function isStray(event: MouseEvent): boolean {
  return event.detail > 0 && performance.now() - lastDecision < SETTLING;
}

interface DecideProps {
  proposal: Proposal;
  summary: string;
  card: { current: HTMLElement | null };
}

function Decide({ proposal, summary, card }: DecideProps) {
  const { actions, say } = usePage();
  const [isRejecting, setRejecting] = useState(false);
  const [problem, setProblem] = useState("");
  const decide = async (deciding: Promise<Decision>, done: string) => {
    const next = neighbourOf(card.current);
    const fault = await deciding.then(problemOf, errorInWords);
    if (fault) return setProblem(fault);
    lastDecision = performance.now();
    say(done);
    next?.focus();
  };
  return (
    <>
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {isRejecting ? (
        <RejectForm
          onCancel={() => setRejecting(false)}
          onReject={(feedback) => void decide(reject(actions.host, proposal.id, feedback), `Abgelehnt: ${summary}`)}
        />
      ) : (
        <div class="buttons">
          <button
            type="button"
            class="primary"
            aria-label={`Annehmen: ${summary}`}
            onClick={(event) =>
              isStray(event) || void decide(approve(actions.host, proposal.id), `Angenommen: ${summary}`)
            }
          >
            Annehmen
          </button>
          <button type="button" aria-label={`Ablehnen: ${summary}`} onClick={() => setRejecting(true)}>
            Ablehnen
          </button>
        </div>
      )}
    </>
  );
}

function RejectForm({ onCancel, onReject }: { onCancel: () => void; onReject: (feedback: string) => void }) {
  const [feedback, setFeedback] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  // Before the browser draws, as in the mission form.
  useLayoutEffect(() => area.current?.focus(), []);
  return (
    <form
      onKeyDown={(event) => event.key === "Escape" && onCancel()}
      onSubmit={(event) => {
        event.preventDefault();
        onReject(feedback);
      }}
    >
      <label>
        Warum nicht? Der nächste Plan richtet sich danach. (freiwillig)
        <textarea
          rows={2}
          maxLength={2000}
          value={feedback}
          ref={area}
          onInput={(event) => setFeedback(event.currentTarget.value)}
        />
      </label>
      <div class="buttons">
        <button type="submit" class="danger">
          Ablehnen
        </button>
        <button type="button" onClick={onCancel}>
          Abbrechen
        </button>
      </div>
    </form>
  );
}

function originOf(proposal: Proposal, { missions }: Contents): { mission: string; summary: string } {
  const mission = missions.find(({ id }) => id === proposal.missionId);
  const iteration = readableIterations(mission?.iterations).find((one) => one.id === proposal.iterationId);
  const step = iteration && stepsOf(iteration).find(([, one]) => one.proposalId === proposal.id)?.[1];
  return { mission: mission?.title ?? "", summary: step?.summary || proposal.rationale };
}

function nameOf(id: string, { tasks, places }: Contents): string | undefined {
  const record = [...tasks, ...places].find((one) => one.id === id);
  return record && String(record.title ?? record.name ?? "");
}
