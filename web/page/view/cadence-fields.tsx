import type { MissionCadence } from "../../src/index";
import { cadenceInWords, WEEKDAYS } from "../words/cadence";

interface Props {
  cadence: MissionCadence;
  onChange: (cadence: MissionCadence) => void;
}

/** What a kind of cadence starts with when it is chosen. */
const DEFAULTS: Record<string, MissionCadence> = {
  manual: { kind: "manual" },
  interval: { kind: "interval", everyMinutes: 60 },
  daily: { kind: "daily", atHour: 8, atMinute: 0 },
  weekly: { kind: "weekly", dayOfWeek: 1, atHour: 8 },
};

/** When a mission runs. A cron cadence, which other apps can set, is kept or replaced, not edited. */
export function CadenceFields({ cadence, onChange }: Props) {
  const choose = (kind: string) => onChange(kind === cadence.kind ? cadence : (DEFAULTS[kind] ?? cadence));
  return (
    <fieldset>
      <legend>Wann soll geplant werden?</legend>
      <label>
        Takt
        <select value={cadence.kind} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="daily">täglich</option>
          <option value="weekly">wöchentlich</option>
          <option value="interval">in Abständen</option>
          <option value="manual">nur wenn ich es sage</option>
          {!DEFAULTS[cadence.kind] && <option value={cadence.kind}>{cadenceInWords(cadence)}</option>}
        </select>
      </label>
      <Details cadence={cadence} onChange={onChange} />
    </fieldset>
  );
}

function Details({ cadence, onChange }: Props) {
  switch (cadence.kind) {
    case "interval":
      return (
        <NumberField
          label="Alle wie viele Minuten?"
          value={cadence.everyMinutes}
          min={1}
          max={525_600}
          onChange={(everyMinutes) => onChange({ kind: "interval", everyMinutes })}
        />
      );
    case "daily":
      return <TimeField cadence={cadence} onChange={onChange} />;
    case "weekly":
      return (
        <>
          <label>
            Wochentag
            <select
              value={cadence.dayOfWeek}
              onChange={(event) => onChange({ ...cadence, dayOfWeek: Number(event.currentTarget.value) })}
            >
              {WEEKDAYS.map(([number, name]) => (
                <option key={number} value={number}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <NumberField
            label="Stunde"
            value={cadence.atHour}
            min={0}
            max={23}
            onChange={(atHour) => onChange({ ...cadence, atHour })}
          />
        </>
      );
    default:
      return null;
  }
}

function TimeField({
  cadence,
  onChange,
}: {
  cadence: Extract<MissionCadence, { kind: "daily" }>;
  onChange: Props["onChange"];
}) {
  const twoDigits = (number: number) => String(number).padStart(2, "0");
  return (
    <label>
      Uhrzeit
      <input
        type="time"
        required
        value={`${twoDigits(cadence.atHour)}:${twoDigits(cadence.atMinute)}`}
        onChange={(event) => {
          // Empty while only one half is typed.
          const [atHour, atMinute] = event.currentTarget.value.split(":").map(Number);
          if (atHour !== undefined && atMinute !== undefined) onChange({ kind: "daily", atHour, atMinute });
        }}
      />
    </label>
  );
}

interface NumberProps {
  label: string;
  value: number;
  min: number;
  max: number;
  onChange: (value: number) => void;
}

function NumberField({ label, value, min, max, onChange }: NumberProps) {
  return (
    <label>
      {label}
      <input
        type="number"
        required
        step={1}
        min={min}
        max={max}
        value={value}
        onChange={(event) => event.currentTarget.validity.valid && onChange(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}
