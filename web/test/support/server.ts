/** The contract of SYNC.md over HTTP, in memory, with the built page: what `mana-ai demo` is to the browser tests. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { Log } from "./log";
import { Service } from "./service";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".webmanifest": "application/manifest+json",
};

type Answer = [status: number, body: unknown];

/** A running stand-in. */
export class StandIn {
  readonly log = new Log();
  readonly service = new Service(this.log);
  private readonly server: Server;

  private constructor(private readonly folder: string) {
    this.server = createServer((request, response) => void this.answer(request, response));
  }

  /** Listens on a free port of this machine, and serves the page in `folder`. */
  static async start(folder = ""): Promise<StandIn> {
    const standIn = new StandIn(folder);
    await new Promise<void>((resolve) => standIn.server.listen(0, "127.0.0.1", resolve));
    return standIn;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.origin);
    if (!/^\/(sync|demo)\//.test(url.pathname)) return this.file(url.pathname, response);
    const [status, body] = await this.route(request, url).catch((error): Answer => [400, { error: String(error) }]);
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  }

  private async route(request: IncomingMessage, url: URL): Promise<Answer> {
    const user = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (!user) return [401, { error: "no user" }];
    const [, area, name = ""] = url.pathname.split("/");
    if (area === "sync") {
      return request.method === "POST" ? this.push(user, name, await bodyOf(request)) : this.pull(user, name, url);
    }
    if (name === "prompts") return [200, { prompts: this.service.prompts }];
    const run = this.service.run(user, (await bodyOf(request)).missionId);
    return run ? [200, run] : [404, { error: "this user has no such mission" }];
  }

  private push(user: string, app: string, body: { clientId: string; changes: never[] }): Answer {
    this.log.push(user, app, body.clientId, body.changes);
    return [200, { accepted: body.changes.length }];
  }

  private pull(user: string, app: string, url: URL): Answer {
    const [clientId = "", since = "", after = "", limit = "500"] = ["clientId", "since", "after", "limit"].map(
      (name) => url.searchParams.get(name) ?? undefined,
    );
    return [200, { changes: this.log.pull(user, app, clientId, since, after, Math.min(Number(limit), 500)) }];
  }

  private async file(path: string, response: ServerResponse): Promise<void> {
    const name = path === "/" ? "index.html" : normalize(path);
    const content = this.folder && (await readFile(join(this.folder, name)).catch(() => undefined));
    if (!content) return void response.writeHead(404).end();
    const cache = path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
    response.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "text/plain", "Cache-Control": cache });
    response.end(content);
  }
}

async function bodyOf(request: IncomingMessage) {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}
