/** Times in words, in the user's own zone. */
const DAY = 86_400_000;

const clock = new Intl.DateTimeFormat("de-DE", { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("de-DE", { weekday: "long", day: "numeric", month: "long" });
const dateWithYear = new Intl.DateTimeFormat("de-DE", { day: "numeric", month: "long", year: "numeric" });

/** A point in time: „heute um 14:03 Uhr“. Text that is no time comes back as it is. */
export function momentInWords(iso: string, now = new Date()): string {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  return `${dayOf(at, now)} um ${clock.format(at)} Uhr`;
}

/** A day: „morgen“, „Mittwoch, 3. Dezember“. Of a point in time, its day. */
export function dayInWords(iso: string, now = new Date()): string {
  // A bare date is a day in the user's zone; `new Date` would read it as midnight in Greenwich.
  const at = new Date(/^\d{4}-\d{2}-\d{2}$/.test(iso) ? `${iso}T00:00` : iso);
  return Number.isNaN(at.getTime()) ? iso : dayOf(at, now);
}

/** From when to when: „morgen, 18:00 bis 19:30 Uhr“. */
export function spanInWords(start: string, end: string, now = new Date()): string {
  const [from, to] = [new Date(start), new Date(end)];
  if (Number.isNaN(from.getTime()) || Number.isNaN(to.getTime())) return `${start} bis ${end}`;
  if (midnight(from) !== midnight(to)) return `${momentInWords(start, now)} bis ${momentInWords(end, now)}`;
  return `${dayOf(from, now)}, ${clock.format(from)} bis ${clock.format(to)} Uhr`;
}

function dayOf(at: Date, now: Date): string {
  const days = Math.round((midnight(at) - midnight(now)) / DAY);
  const near = { "-2": "vorgestern", "-1": "gestern", "0": "heute", "1": "morgen", "2": "übermorgen" }[String(days)];
  if (near) return near;
  return Math.abs(days) < 180 ? date.format(at) : dateWithYear.format(at);
}

/** Midnight of that day as if every day had 24 hours: days can be counted across a change of the clock. */
function midnight(at: Date): number {
  return Date.UTC(at.getFullYear(), at.getMonth(), at.getDate());
}
