/** What every browser test needs: a browser, the demo, users that nobody else has. */
import { afterAll, beforeAll, expect } from "vitest";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { Client, Device, launch } from "../support/browser";
import { StandIn } from "../support/server";

/** The page and the routes of a running `mana-ai demo`, instead of the stand-in in TypeScript. */
const demo = process.env.MANA_DEMO_URL || undefined;
/** Against the real service? */
export const isRealService = demo !== undefined;

/** The tests of a file share one of these. */
export interface Stage {
  device(user: string, options?: BrowserContextOptions): Promise<Device>;
  client(user: string): Client;
  /** Undefined where the tests run against a real demo (MANA_DEMO_URL). */
  standIn: StandIn | undefined;
}

/** Call it at the top of a file. */
export function useStage(): Stage {
  let browser: Browser;
  let origin: string;
  const devices: Device[] = [];
  const stage: Stage = {
    standIn: undefined,
    device: async (user, options) => {
      const device = await Device.make(browser, origin, user, options);
      devices.push(device);
      return device;
    },
    client: (user) => new Client(origin, user),
  };
  beforeAll(async () => {
    if (!demo) stage.standIn = await StandIn.start(new URL("../../dist", import.meta.url).pathname);
    origin = demo ?? stage.standIn?.origin ?? "";
    browser = await launch();
  });
  afterAll(async () => {
    const strangers = devices.flatMap((device) => device.strangers);
    await browser?.close();
    await stage.standIn?.stop();
    expect(strangers, "requests to another origin").toEqual([]);
  });
  return stage;
}

let users = 0;

/** A user of this run alone: the demo's log outlives a run. */
export function someone(): string {
  return `test-${process.pid}-${Date.now()}-${(users += 1)}`;
}

/** Makes a mission that runs when it is told to, through the form. */
export async function createMission(page: Page, title: string, objective: string): Promise<void> {
  await page.getByRole("button", { name: "Neue Mission" }).click();
  await page.getByLabel("Titel").fill(title);
  await page.getByLabel("Ziel").fill(objective);
  await page.getByLabel("Takt").selectOption("manual");
  await page.getByRole("button", { name: "Anlegen" }).click();
  await page.getByRole("heading", { name: title }).waitFor();
}

/** The cards that wait for a decision. */
export function cards(page: Page) {
  return page.locator("article.ghost");
}
