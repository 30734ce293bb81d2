import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MissionCadence } from "../../src/index";
import { Refused } from "../../page/device/api";
import { ToolError } from "../../page/device/tools";
import { cadenceInWords, nextRun } from "../../page/words/cadence";
import { errorInWords, problemOf, runInWords } from "../../page/words/messages";
import { linesOf, toolInWords } from "../../page/words/params";
import { dayInWords, momentInWords, spanInWords } from "../../page/words/time";
import { vectors } from "../support/vectors";

const zone = process.env.TZ;
afterEach(() => {
  process.env.TZ = zone;
});

describe("nextRun", () => {
  const all = vectors<{ tz: string; from: string; cadence: MissionCadence; expected: string | null }>("cadence");
  const own = all.filter(({ cadence }) => cadence.kind !== "cron");

  it("is where devices have it, in every zone of cadence.json", () => {
    expect(own.length).toBeGreaterThan(400);
    for (const { tz, from, cadence, expected } of own) {
      process.env.TZ = tz;
      expect(nextRun(cadence, new Date(from)), JSON.stringify({ tz, from, cadence })).toBe(expected);
    }
  });

  it("leaves cron to the service, as devices do", () => {
    expect(nextRun({ kind: "cron", expression: "0 9 * * *" }, new Date())).toBeNull();
  });
});

describe("words", () => {
  const now = new Date("2026-11-21T16:00:00Z");
  beforeEach(() => {
    process.env.TZ = "Europe/Berlin";
  });

  it.each([
    [{ kind: "manual" }, "nur wenn du es sagst"],
    [{ kind: "interval", everyMinutes: 45 }, "alle 45 Minuten"],
    [{ kind: "interval", everyMinutes: 60 }, "jede Stunde"],
    [{ kind: "interval", everyMinutes: 360 }, "alle 6 Stunden"],
    [{ kind: "daily", atHour: 9, atMinute: 5 }, "täglich um 09:05 Uhr"],
    [{ kind: "weekly", dayOfWeek: 0, atHour: 18 }, "jeden Sonntag um 18:00 Uhr"],
    [{ kind: "cron", expression: "0 9 * * *" }, "nach dem Zeitplan „0 9 * * *“"],
    [{ kind: "lunar" }, "in einem Takt, den diese App nicht kennt"],
    [undefined, "in einem Takt, den diese App nicht kennt"],
  ])("%j is %s", (cadence, words) => expect(cadenceInWords(cadence as MissionCadence)).toBe(words));

  it.each([
    ["2026-11-21T22:59:00.000Z", "heute um 23:59 Uhr"],
    ["2026-11-21T23:00:00.000Z", "morgen um 00:00 Uhr"],
    ["2026-11-20T12:00:00.000Z", "gestern um 13:00 Uhr"],
    ["2026-12-24T17:00:00+01:00", "Donnerstag, 24. Dezember um 17:00 Uhr"],
    ["2027-12-24T17:00:00.000Z", "24. Dezember 2027 um 18:00 Uhr"],
    ["irgendwann", "irgendwann"],
  ])("%s is %s", (iso, words) => expect(momentInWords(iso, now)).toBe(words));

  it("counts days across a change of the clock", () => {
    expect(dayInWords("2026-10-26", new Date("2026-10-24T22:30:00Z"))).toBe("morgen");
  });

  it.each([
    ["2026-11-22T17:00:00Z", "2026-11-22T18:30:00Z", "morgen, 18:00 bis 19:30 Uhr"],
    ["2026-11-21T21:00:00Z", "2026-11-22T00:30:00Z", "heute um 22:00 Uhr bis morgen um 01:30 Uhr"],
    ["bald", "später", "bald bis später"],
  ])("from %s to %s is %s", (start, end, words) => expect(spanInWords(start, end, now)).toBe(words));

  it("shows every parameter, known or not, and no id", () => {
    const params = {
      title: "T",
      priority: "high",
      dueDate: "2031-01-02",
      taskId: "t1",
      isAllDay: true,
      empty: null,
      more: { a: [1] },
    };
    const nameOf = (id: string) => (id === "t1" ? "Einkaufen" : undefined);
    expect(linesOf(params, nameOf).map(({ label, text }) => `${label}: ${text}`)).toEqual([
      "Titel: T",
      "Fällig: 2. Januar 2031",
      "Priorität: hoch",
      "Aufgabe: Einkaufen",
      "Ganztägig: ja",
      'more: {"a":[1]}',
    ]);
    expect(linesOf({ placeId: "x", latitude: 52.51984 }, nameOf).map(({ text }) => text)).toEqual([
      "52,51984",
      "hier nicht bekannt",
    ]);
    expect(
      linesOf({ title: "T", endTime: "später", startTime: "bald", location: "L" }, nameOf).map(({ text }) => text),
    ).toEqual(["T", "bald bis später", "L"]);
    expect(linesOf({ startTime: "bald" }, nameOf)).toEqual([{ label: "Beginn", text: "bald" }]);
    expect(linesOf(null, nameOf)).toEqual([]);
    expect(toolInWords("rm_rf")).toBe("Unbekanntes Werkzeug „rm_rf“");
  });

  it("says what went wrong, kindly", () => {
    expect(problemOf({ outcome: "done" })).toBeUndefined();
    expect(problemOf({ outcome: "bad parameter", parameter: "priority", fault: "not allowed" })).toMatch(
      /^„Priorität“ hat einen Wert/,
    );
    expect(errorInWords(new ToolError("Genau so."))).toBe("Genau so.");
    expect(errorInWords(new TypeError("Failed to fetch"))).toMatch(/^Keine Verbindung/);
    expect(errorInWords(new Refused(409, "held"))).toMatch(/kann gerade nicht geplant werden/);
    expect(errorInWords(new Refused(500, "x"))).toMatch(/gerade nicht zu erreichen/);
    expect(runInWords("slot-failed")).toMatch(/^Diesmal kam kein Plan zustande/);
  });
});
