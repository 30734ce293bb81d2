import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Mission, MissionCadence } from "../../src/index";
import type { MissionDraft } from "../actions";
import { CadenceFields } from "./cadence-fields";

interface Props {
  mission?: Mission;
  labelledBy: string;
  submitLabel: string;
  onSubmit: (draft: MissionDraft) => Promise<void>;
  onCancel: () => void;
}

/** Makes a mission, or changes one. */
export function MissionForm({ mission, labelledBy, submitLabel, onSubmit, onCancel }: Props) {
  const form = useRef<HTMLFormElement>(null);
  const [cadence, setCadence] = useState<MissionCadence>(mission?.cadence ?? { kind: "daily", atHour: 8, atMinute: 0 });
  // Before the browser draws: whoever types on at once must not lose the first letters.
  useLayoutEffect(() => form.current?.querySelector("input")?.focus(), []);
  const isSubmitting = useRef(false);
  const submit = (event: Event) => {
    event.preventDefault();
    // A double click makes one mission. The form closes when it is written.
    if (isSubmitting.current) return;
    isSubmitting.current = true;
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(fields.get(name) ?? "").trim();
    const words = { title: text("title"), objective: text("objective"), conceptMarkdown: text("concept") };
    void onSubmit({ ...words, cadence }).finally(() => {
      isSubmitting.current = false;
    });
  };
  return (
    <form
      ref={form}
      aria-labelledby={labelledBy}
      onSubmit={submit}
      onKeyDown={(event) => event.key === "Escape" && onCancel()}
    >
      <label>
        Titel
        <input
          name="title"
          required
          maxLength={200}
          pattern=".*\S.*"
          autocomplete="off"
          defaultValue={mission?.title}
        />
      </label>
      <label>
        Ziel
        <textarea name="objective" required rows={2} maxLength={2000} defaultValue={mission?.objective} />
      </label>
      <label>
        Was Mana dazu wissen sollte (freiwillig)
        <textarea name="concept" rows={3} maxLength={20000} defaultValue={mission?.conceptMarkdown} />
      </label>
      <CadenceFields cadence={cadence} onChange={setCadence} />
      <div class="buttons">
        <button type="submit" class="primary">
          {submitLabel}
        </button>
        <button type="button" onClick={onCancel}>
          Abbrechen
        </button>
      </div>
    </form>
  );
}
