/** A headless Chromium, and devices in it. */
import { existsSync } from "node:fs";
import axe from "axe-core";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import type { LogRow, NewRow } from "../../page/device/api";

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts Chromium from CHROMIUM, or where Debian has it. */
export function launch(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(executablePath)) throw new Error(`no Chromium at ${executablePath}: install it, or set CHROMIUM`);
  return chromium.launch({ executablePath, args: ARGS });
}

/** A device of a user: a browser profile of its own. Notes every request that leaves the origin. */
export class Device {
  readonly strangers: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly origin: string,
    readonly user: string,
  ) {
    context.on("request", (request) => {
      if (!request.url().startsWith(origin)) this.strangers.push(request.url());
    });
  }

  static async make(
    browser: Browser,
    origin: string,
    user: string,
    options: BrowserContextOptions = {},
  ): Promise<Device> {
    const context = await browser.newContext({ locale: "de-DE", timezoneId: "Europe/Berlin", ...options });
    context.setDefaultTimeout(15_000);
    return new Device(context, origin, user);
  }

  /** A tab with the page. */
  async open(): Promise<Page> {
    const page = await this.context.newPage();
    await page.goto(`${this.origin}/?user=${this.user}`);
    await page.getByRole("heading", { name: "Missionen" }).waitFor();
    return page;
  }
}

/** A client without a page, to look at the log and to put rows into it. */
export class Client {
  constructor(
    readonly origin: string,
    readonly user: string,
  ) {}

  async rows(app: string): Promise<LogRow[]> {
    return (await this.ask(`/sync/${app}?clientId=test-reader&limit=500`)).changes;
  }

  push(app: string, changes: NewRow[]): Promise<unknown> {
    return this.ask(`/sync/${app}`, { clientId: "test-writer", changes });
  }

  run(missionId: string): Promise<{ outcome: string }> {
    return this.ask("/demo/run", { missionId });
  }

  /** The texts of all prompts so far. */
  async prompts(): Promise<string[]> {
    const { prompts } = await this.ask("/demo/prompts");
    return prompts.map((prompt: { messages: Array<{ content: string }> }) =>
      prompt.messages.map(({ content }) => content).join("\n"),
    );
  }

  private async ask(path: string, body?: unknown) {
    const headers = { Authorization: `Bearer ${this.user}`, "Content-Type": "application/json" };
    const request = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(this.origin + path, { ...request, headers });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}

/** What axe finds that is serious or worse, as readable lines. */
export async function seriousFaults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")} ${node.failureSummary ?? ""}`));
}

/** Waits until what `look` sees is as wanted, and tells what it saw last if it never is. */
export async function eventually<T>(look: () => Promise<T>, isFine: (seen: T) => boolean): Promise<T> {
  const end = Date.now() + 20_000;
  for (;;) {
    const seen = await look();
    if (isFine(seen)) return seen;
    if (Date.now() > end) throw new Error(`never as wanted, last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
