import { mkdirSync } from "node:fs";
import { expect, it } from "vitest";
import type { Page } from "playwright-core";
import { eventually, seriousFaults } from "../support/browser";
import { cards, createMission, someone, useStage } from "./stage";

const stage = useStage();
const out = new URL("../out/", import.meta.url).pathname;
mkdirSync(out, { recursive: true });

/** With a plan on the table, one step approved, and the history open. */
async function filled(page: Page): Promise<void> {
  await createMission(page, "Marathon im Herbst", "Dreimal in der Woche laufen");
  await page.getByRole("button", { name: "Jetzt planen" }).click();
  await cards(page)
    .nth(1)
    .getByRole("button", { name: /^Annehmen/ })
    .click();
  await page.getByRole("checkbox").waitFor();
  await page.getByText("Ein Plan bisher").click();
}

it.each([
  ["light", { width: 1280, height: 900 }],
  ["dark", { width: 1280, height: 900 }],
  ["light", { width: 360, height: 740 }],
  ["dark", { width: 360, height: 740 }],
] as const)("is accessible and fits, %s %j", async (colorScheme, viewport) => {
  const page = await (await stage.device(someone(), { colorScheme, viewport })).open();
  expect(await seriousFaults(page)).toEqual([]);
  await filled(page);
  await cards(page)
    .first()
    .getByRole("button", { name: /^Ablehnen/ })
    .click();
  expect(await seriousFaults(page)).toEqual([]);
  await page.getByRole("button", { name: "Bearbeiten" }).click();
  await page.getByLabel("Takt").selectOption("weekly");
  expect(await seriousFaults(page)).toEqual([]);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(viewport.width);
  await page.screenshot({ path: `${out}${colorScheme}-${viewport.width}.png`, fullPage: true });
});

it.each([0, 300])("can be used with the keyboard alone, with %d ms more until a frame is drawn", async (delay) => {
  const device = await stage.device(someone());
  // A busy machine draws late, and who types does not wait for it.
  await device.context.addInitScript((late) => {
    const draw = globalThis.requestAnimationFrame.bind(globalThis);
    globalThis.requestAnimationFrame = (callback) => setTimeout(() => draw(callback), late) as unknown as number;
  }, delay);
  const page = await device.open();
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  const press = async (wanted: RegExp) => {
    for (let tabs = 0; tabs < 40 && !wanted.test(await focused()); tabs += 1) await page.keyboard.press("Tab");
    expect(await focused()).toMatch(wanted);
    await page.keyboard.press("Enter");
  };
  await press(/^Neue Mission$/);
  await page.keyboard.type("Tastatur");
  await page.keyboard.press("Tab");
  await page.keyboard.type("Ohne Maus");
  await press(/^Anlegen$/);
  await page.getByRole("heading", { name: "Tastatur" }).waitFor();
  await eventually(focused, (text) => text === "Neue Mission");
  for (let tabs = 0; tabs < 3; tabs += 1) await page.keyboard.press("Shift+Tab");
  await press(/^Jetzt planen/);
  await cards(page).nth(1).waitFor();
  // Forward over the end of the page to its beginning, where the cards are.
  await press(/^Annehmen/);
  await page.getByRole("status").filter({ hasText: "Angenommen" }).waitFor();
  // The card is gone; the focus is on the next one.
  await eventually(focused, (text) => text === "Rückblick vormerken");
  await press(/^Ablehnen/);
  await page.keyboard.type("Nein danke");
  await press(/^Ablehnen$/);
  await page.getByRole("status").filter({ hasText: "Abgelehnt" }).waitFor();
  await eventually(focused, (text) => text === "Nichts zu entscheiden");
});

it("opens offline, keeps what is written there, and hands it in later", async () => {
  const user = someone();
  const device = await stage.device(user);
  const page = await device.open();
  await page.evaluate(() => navigator.serviceWorker.ready);
  // Once under the service worker, so that it keeps the files.
  await page.reload();
  await createMission(page, "Vorher", "Da");
  await device.context.setOffline(true);
  await page.reload();
  await page.getByRole("heading", { name: "Vorher" }).waitFor();
  await createMission(page, "Im Zug", "Ohne Netz");
  await page.getByText(/^Offline/).waitFor();
  await page.getByRole("button", { name: "Jetzt planen: Im Zug" }).click();
  await page.getByText("Keine Verbindung. Deine Änderungen sind gespeichert").waitFor();
  await device.context.setOffline(false);
  const rows = await eventually(
    () => stage.client(user).rows("ai"),
    (all) => all.length >= 2,
  );
  expect(rows.map((row) => row.data?.title)).toEqual(["Vorher", "Im Zug"]);
});

it("takes a double click for one decision", async () => {
  const page = await (await stage.device(someone())).open();
  await createMission(page, "Doppelt", "Ziel");
  await page.getByRole("button", { name: "Jetzt planen" }).click();
  await cards(page).nth(1).waitFor();
  // Inside the page, so that the second click comes the moment that the next card has taken the place of the first.
  await page.evaluate(async () => {
    const button = () => document.querySelector<HTMLElement>(".ghost button.primary");
    const click = () => button()?.dispatchEvent(new MouseEvent("click", { bubbles: true, detail: 1 }));
    const first = button();
    click();
    while (first?.isConnected) await new Promise(requestAnimationFrame);
    click();
  });
  await page.waitForTimeout(1000);
  expect(await cards(page).count()).toBe(1);
});

it("pauses, goes on, and edits the cadence in parts", async () => {
  const user = someone();
  const page = await (await stage.device(user)).open();
  await createMission(page, "Rhythmus", "Ziel");
  await page.getByRole("button", { name: "Bearbeiten" }).click();
  await page.getByLabel("Takt").selectOption("daily");
  await page.getByLabel("Uhrzeit").fill("06:45");
  await page.getByRole("button", { name: "Speichern" }).click();
  await page.getByText("Plant täglich um 06:45 Uhr").waitFor();
  await page.getByRole("button", { name: "Pausieren" }).click();
  await page.getByText("pausiert · sonst täglich um 06:45 Uhr").waitFor();
  await page.getByRole("button", { name: "Fortsetzen" }).click();
  await page.getByRole("button", { name: "Pausieren" }).waitFor();
  const rows = await eventually(
    () => stage.client(user).rows("ai"),
    (all) => all.length === 4,
  );
  expect(
    rows
      .map(({ data }) =>
        Object.keys(data ?? {})
          .filter((field) => !/^(inputs|iterations)$/.test(field))
          .sort(),
      )
      .slice(1),
  ).toEqual([["cadence.atHour", "cadence.atMinute", "cadence.kind", "nextRunAt"], ["state"], ["state"]]);
  for (const row of rows.slice(1)) expect(row.data).toMatchObject({ inputs: [], iterations: [] });
});

it("shows what others wrote as text, never as a page", async () => {
  const page = await (await stage.device(someone())).open();
  await createMission(page, "<img src=x onerror=alert(1)>", "<script>alert(2)</script>");
  await page.getByRole("button", { name: "Jetzt planen" }).click();
  await cards(page).first().waitFor();
  expect(await page.locator("main img, main script").count()).toBe(0);
  await page.getByRole("heading", { name: "<img src=x onerror=alert(1)>" }).first().waitFor();
});
