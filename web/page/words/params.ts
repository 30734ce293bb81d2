/** What a step would do, in words: its tool, and each parameter with a label. */
import type { Fields } from "../../src/index";
import { dayInWords, momentInWords, spanInWords } from "./time";

/** A line of a card. */
export interface Line {
  label: string;
  text: string;
}

const TOOLS: Record<string, string> = {
  create_task: "Neue Aufgabe",
  complete_task: "Aufgabe abhaken",
  complete_tasks_by_title: "Aufgaben abhaken",
  create_event: "Neuer Termin",
  create_place: "Neuer Ort",
  record_visit: "Besuch vermerken",
  undo_last_drink: "Letztes Getränk zurücknehmen",
};

/** In the order in which a card shows them. */
const LABELS: Record<string, string> = {
  title: "Titel",
  dueDate: "Fällig",
  priority: "Priorität",
  taskId: "Aufgabe",
  titleMatch: "Titel enthält",
  startTime: "Beginn",
  endTime: "Ende",
  isAllDay: "Ganztägig",
  location: "Ort",
  name: "Name",
  latitude: "Breitengrad",
  longitude: "Längengrad",
  category: "Art",
  address: "Anschrift",
  placeId: "Ort",
  description: "Beschreibung",
};
const ORDER = Object.keys(LABELS);
/** Unknown ones last. */
const placeOf = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);

const VALUES: Record<string, Record<string, string>> = {
  priority: { low: "niedrig", medium: "mittel", high: "hoch" },
  category: {
    home: "Zuhause",
    work: "Arbeit",
    food: "Essen",
    shopping: "Einkaufen",
    sport: "Sport",
    culture: "Kultur",
    nature: "Natur",
    transport: "Unterwegs",
    health: "Gesundheit",
    education: "Bildung",
    nightlife: "Nachtleben",
    other: "Sonstiges",
  },
};

/** „Neue Aufgabe“. */
export function toolInWords(toolName: string): string {
  return TOOLS[toolName] ?? `Unbekanntes Werkzeug „${toolName}“`;
}

/** „Priorität“. */
export function labelOf(parameter: string): string {
  return LABELS[parameter] ?? parameter;
}

/** Every parameter that has a value, whatever order Postgres and the service gave them. `nameOf` tells the name of a record that is meant by its id. */
export function linesOf(params: unknown, nameOf: (id: string) => string | undefined): Line[] {
  const { startTime, endTime, ...others } = (params ?? {}) as Fields;
  const isSpan = typeof startTime === "string" && typeof endTime === "string";
  const span = isSpan ? [{ label: "Wann", text: spanInWords(startTime, endTime) }] : [];
  const given = Object.entries(isSpan ? others : ((params ?? {}) as Fields));
  const lines = given
    .filter(([, value]) => value !== null && value !== "")
    .sort(([one], [other]) => placeOf(one) - placeOf(other))
    .map(([name, value]) => ({ label: labelOf(name), text: valueInWords(name, value, nameOf) }));
  return [...lines.slice(0, 1), ...span, ...lines.slice(1)];
}

/** A value as a person would write it. */
export function valueInWords(name: string, value: unknown, nameOf: (id: string) => string | undefined): string {
  if (typeof value === "boolean") return value ? "ja" : "nein";
  if (typeof value === "number") return value.toLocaleString("de-DE", { maximumFractionDigits: 6 });
  if (typeof value !== "string") return JSON.stringify(value);
  if (name === "dueDate") return dayInWords(value);
  if (name === "startTime" || name === "endTime") return momentInWords(value);
  if (name === "taskId" || name === "placeId") return nameOf(value) ?? "hier nicht bekannt";
  return VALUES[name]?.[value] ?? value;
}
