/** A cadence in words, and its next slot in the arithmetic of the devices. */
import type { MissionCadence } from "../../src/index";

/** Monday first, as German calendars have it, with the number that a cadence uses. */
export const WEEKDAYS: ReadonlyArray<readonly [number, string]> = [
  [1, "Montag"],
  [2, "Dienstag"],
  [3, "Mittwoch"],
  [4, "Donnerstag"],
  [5, "Freitag"],
  [6, "Samstag"],
  [0, "Sonntag"],
];

/** „täglich um 09:00 Uhr“. */
export function cadenceInWords(cadence: MissionCadence | null | undefined): string {
  switch (cadence?.kind) {
    case "manual":
      return "nur wenn du es sagst";
    case "interval":
      return intervalInWords(cadence.everyMinutes);
    case "daily":
      return `täglich um ${twoDigits(cadence.atHour)}:${twoDigits(cadence.atMinute)} Uhr`;
    case "weekly": {
      const day = WEEKDAYS.find(([number]) => number === cadence.dayOfWeek)?.[1] ?? "Tag";
      return `jeden ${day} um ${twoDigits(cadence.atHour)}:00 Uhr`;
    }
    case "cron":
      return `nach dem Zeitplan „${cadence.expression}“`;
    default:
      return "in einem Takt, den diese App nicht kennt";
  }
}

/**
 * The first slot after `from`, ISO 8601; null where there is none, or where only the service can tell (cron). The time is
 * set on today's date first, then whole days are added: so do the devices, also where a night has no such hour.
 */
export function nextRun(cadence: MissionCadence, from: Date): string | null {
  const next = new Date(from);
  switch (cadence.kind) {
    case "interval":
      next.setTime(from.getTime() + cadence.everyMinutes * 60_000);
      break;
    case "daily":
      next.setHours(cadence.atHour, cadence.atMinute, 0, 0);
      if (next <= from) next.setDate(next.getDate() + 1);
      break;
    case "weekly":
      next.setHours(cadence.atHour, 0, 0, 0);
      next.setDate(next.getDate() + ((cadence.dayOfWeek - next.getDay() + 7) % 7));
      if (next <= from) next.setDate(next.getDate() + 7);
      break;
    default:
      return null;
  }
  return next.toISOString();
}

function intervalInWords(minutes: number): string {
  if (minutes === 60) return "jede Stunde";
  if (minutes === 1440) return "alle 24 Stunden";
  return minutes % 60 === 0 ? `alle ${minutes / 60} Stunden` : `alle ${minutes} Minuten`;
}

function twoDigits(number: number): string {
  return String(number).padStart(2, "0");
}
