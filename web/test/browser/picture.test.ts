/** Takes the picture of the README: `UPDATE_PICTURES=1` puts it into docs/, else it is only looked at by nobody. */
import { mkdirSync } from "node:fs";
import { expect, it } from "vitest";
import type { PlannedStep } from "../support/service";
import { cards, isRealService, someone, useStage } from "./stage";

const stage = useStage();
const isWanted = process.env.UPDATE_PICTURES === "1";
const folder = new URL(isWanted ? "../../../docs/" : "../out/", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });

const step = (summary: string, rationale: string, toolName: string, params: Record<string, unknown>): PlannedStep => ({
  summary,
  rationale,
  intent: { kind: "toolCall", toolName, params },
});

const day = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
const saturday = day((13 - new Date().getUTCDay()) % 7 || 7);

const PLANS: Record<string, PlannedStep[]> = {
  "Wohnung renovieren": [
    step(
      "Wandfarbe für das Arbeitszimmer besorgen",
      "Das Arbeitszimmer ist als Nächstes dran, und ohne Farbe kann es am Wochenende nicht losgehen.",
      "create_task",
      { title: "Wandfarbe kaufen (12 m², matt)", dueDate: day(2), priority: "high" },
    ),
    step(
      "Möbel abdecken und Steckdosen abkleben",
      "Das dauert einen Abend und hält dir den Samstag frei.",
      "create_task",
      { title: "Arbeitszimmer vorbereiten", priority: "medium" },
    ),
    step(
      "Streichen am Samstag einplanen",
      "Zwei Stunden reichen für den ersten Anstrich. Am Nachmittag hattest du bisher meist Zeit.",
      "create_event",
      {
        title: "Arbeitszimmer streichen",
        startTime: `${saturday}T14:00`,
        endTime: `${saturday}T16:00`,
        location: "Zuhause",
      },
    ),
  ],
  "Mehr lesen": [
    step(
      "Bücherei als Ort speichern",
      "Du wolltest lieber leihen als kaufen; sie liegt auf deinem Heimweg.",
      "create_place",
      { name: "Stadtbücherei", latitude: 53.5503, longitude: 10.0006, category: "culture", address: "Hühnerposten 1" },
    ),
    step("Lesezeit am Abend", "Eine feste halbe Stunde hat in der letzten Woche gefehlt.", "create_event", {
      title: "Lesen",
      startTime: `${day(1)}T21:00`,
      endTime: `${day(1)}T21:30`,
    }),
  ],
};

// With plans of its own choice, which only the stand-in makes.
it.skipIf(isRealService)("takes the picture", async () => {
  const { service } = stage.standIn ?? {};
  if (!service) throw new Error("there is no stand-in");
  service.planner = ({ title }) => PLANS[title] ?? [];
  const page = await (
    await stage.device(someone(), { viewport: { width: 1200, height: 800 }, deviceScaleFactor: 2 })
  ).open();
  for (const [title, objective] of [
    ["Wohnung renovieren", "Jede Woche einen Raum fertig bekommen"],
    ["Mehr lesen", "Zwei Bücher im Monat, lieber Romane"],
  ] as const) {
    await page.getByRole("button", { name: "Neue Mission" }).click();
    await page.getByLabel("Titel").fill(title);
    await page.getByLabel("Ziel").fill(objective);
    await page.getByRole("button", { name: "Anlegen" }).click();
    await page.getByRole("button", { name: `Jetzt planen: ${title}` }).click();
    await page.getByText(/neuer Plan ist da/).waitFor();
  }
  await cards(page).nth(4).waitFor();
  for (const name of [/^Annehmen: Möbel/, /^Annehmen: Lesezeit/]) {
    await page.getByRole("button", { name }).click();
    // The cards move up after a decision; a click in that instant is taken for the second half of a double click.
    await page.waitForTimeout(600);
  }
  expect(await cards(page).count()).toBe(3);
  await page.getByRole("status").filter({ hasText: /^$/ }).waitFor({ state: "attached" });
  await page.mouse.move(0, 0);
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.screenshot({ path: `${folder}inbox.png`, fullPage: true, scale: "css" });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: new URL("../out/inbox-dark.png", import.meta.url).pathname, fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: new URL("../out/inbox-phone.png", import.meta.url).pathname, fullPage: true });
});
