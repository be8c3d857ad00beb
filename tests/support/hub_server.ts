import { createHash } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A real HTTP server on 127.0.0.1 that speaks the part of the Hub's protocol that hub/ uses; other tests
 * start it too.
 */
export interface HubServer {
  readonly endpoint: string;
  /** Another origin, as the Hub's file store is. */
  readonly store: string;
  readonly repos: Map<string, ServedRepo>;
  readonly log: LoggedRequest[];
  /** Faults for the next requests whose path contains `path`; each is used once. */
  readonly faults: Fault[];
  close(): Promise<void>;
}
export interface ServedRepo {
  commit: string;
  files: Map<string, Buffer>;
  token?: string;
  gated?: boolean;
  visibility?: string;
  message?: string;
  /** The branch that the commit is the head of. @default "main" */
  branch?: string;
}
interface LoggedRequest {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}
export interface Fault {
  readonly path: string;
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** Sends this many bytes of the content and breaks the connection. */
  readonly cutAfter?: number;
  readonly ignoreRange?: boolean;
  /** The id the Hub claims instead of the file's own. */
  readonly id?: string;
  /** Sends other bytes of the same length. */
  readonly garble?: boolean;
  /**
   * What is sent in place of the answer: a text as it is, else JSON; "endless" never ends, "stalls" sends
   * nothing.
   */
  readonly body?: unknown;
}

export const largeFrom = 1000; // bytes from which the server treats a file as a large one
const hash = (kind: string, data: Buffer, before = ""): string =>
  createHash(kind).update(before).update(data).digest("hex");
export const idOf = (data: Buffer): string =>
  data.length >= largeFrom ? hash("sha256", data) : hash("sha1", data, `blob ${data.length}\0`);
export const commitId = (n: number): string => String(n).repeat(40).slice(0, 40);

export async function startHub(): Promise<HubServer> {
  const state = {
    repos: new Map<string, ServedRepo>(),
    log: [],
    faults: [],
    uploads: new Map<string, Buffer>(),
  };
  const hub: State = { ...state, endpoint: "", store: "" };
  const servers = [
    createServer((a, b) => void handle(hub, a, b)),
    createServer((a, b) => void handle(hub, a, b)),
  ];
  [hub.endpoint, hub.store] = (await Promise.all(servers.map(listen))) as [string, string];
  return {
    ...hub,
    close: async () => {
      for (const server of servers) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
}

interface State {
  repos: Map<string, ServedRepo>;
  log: LoggedRequest[];
  faults: Fault[];
  uploads: Map<string, Buffer>;
  endpoint: string;
  store: string;
}

function listen(server: Server): Promise<string> {
  return new Promise((done) => {
    server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
  });
}

async function handle(hub: State, request: IncomingMessage, answer: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "", hub.endpoint);
  const path = decodeURIComponent(url.pathname);
  const { range, authorization } = request.headers;
  hub.log.push({ method: request.method ?? "", path, range, authorization });
  const at = hub.faults.findIndex((fault) => path.includes(fault.path));
  const fault = at < 0 ? undefined : hub.faults.splice(at, 1)[0];
  const body = await bodyOf(request);
  if (fault?.body === "stalls") return;
  if (fault?.body === "endless") return endless(answer, fault.status ?? 200);
  if (fault?.status !== undefined || fault?.body !== undefined)
    return reply(answer, fault.status ?? 200, fault.body ?? {}, fault.headers);
  for (const [pattern, method, route] of routes) {
    const found = pattern.exec(path);
    if (found !== null && request.method === method) {
      return route({ hub, url, request, answer, body, fault }, ...found.slice(1));
    }
  }
  reply(answer, 404, { error: `no route ${request.method} ${path}` });
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function reply(
  answer: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  answer.writeHead(status, { "content-type": "application/json", ...headers });
  answer.end(typeof body === "string" ? body : JSON.stringify(body));
}

function endless(answer: ServerResponse, status: number): void {
  answer.writeHead(status, { "content-type": "application/json" });
  const more = (): void => {
    while (!answer.destroyed && answer.write(`"${"x".repeat(1 << 16)}",`));
    if (!answer.destroyed) answer.once("drain", more);
  };
  more();
}

interface Call {
  readonly hub: State;
  readonly url: URL;
  readonly request: IncomingMessage;
  readonly answer: ServerResponse;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
}
type Route = (call: Call, ...parts: string[]) => void;

/** The repository if the caller may see it, as the Hub decides that; else the refusal is sent. */
function visible({ hub, request, answer }: Call, name: string): ServedRepo | undefined {
  const repo = hub.repos.get(name);
  const given = request.headers.authorization;
  if (repo?.gated === true) {
    reply(answer, 403, {}, { "x-error-code": "GatedRepo", "x-error-message": "Access is restricted" });
  } else if (repo?.token !== undefined && given !== `Bearer ${repo.token}`) {
    reply(answer, 401, { error: "Invalid username or password." });
  } else if (repo === undefined) {
    const status = given === undefined ? 401 : 404;
    reply(answer, status, {}, { "x-error-code": "RepoNotFound", "x-error-message": "Repository not found" });
  } else return repo;
  return undefined;
}

const info: Route = (call, name = "", revision = "") => {
  const repo = visible(call, name);
  if (repo === undefined) return;
  if (revision !== (repo.branch ?? "main") && revision !== repo.commit) {
    const headers = { "x-error-code": "RevisionNotFound", "x-error-message": `Invalid rev id: ${revision}` };
    return reply(call.answer, 404, {}, headers);
  }
  const siblings = [...repo.files.keys()].map((rfilename) => ({ rfilename }));
  reply(call.answer, 200, { _id: "1", id: name, sha: repo.commit, siblings, lastModified: "2024-01-01" });
};

/** Two entries a page, so that paging is exercised. */
const tree: Route = (call, name = "") => {
  const repo = visible(call, name);
  if (repo === undefined) return;
  const all = [...repo.files].map(([path, data]) => {
    const small = { type: "file", path, size: data.length, oid: idOf(data) };
    return data.length < largeFrom
      ? small
      : { ...small, oid: commitId(9), lfs: { oid: idOf(data), size: data.length } };
  });
  const from = Number(call.url.searchParams.get("cursor") ?? 0);
  const next = new URL(call.url);
  next.searchParams.set("cursor", String(from + 2));
  const link = from + 2 < all.length ? { link: `<${next.href}>; rel="next"` } : {};
  reply(call.answer, 200, all.slice(from, from + 2), link as Record<string, string>);
};

/** Large files lie in the store, small ones behind a relative redirect. */
const resolve: Route = (call, name = "", revision = "", file = "") => {
  const data = visible(call, name)?.files.get(file);
  if (call.answer.writableEnded) return;
  if (data === undefined) return reply(call.answer, 404, {}, { "x-error-code": "EntryNotFound" });
  const large = data.length >= largeFrom;
  const location = large
    ? `${call.hub.store}/store/${name}/${file}`
    : `/api/resolve-cache/models/${name}/${file}`;
  const headers = {
    location,
    "x-linked-etag": `"${call.fault?.id ?? idOf(data)}"`,
    "x-repo-commit": revision,
  };
  reply(call.answer, large ? 302 : 307, {}, headers);
};

const content: Route = ({ hub, request, answer, fault }, name = "", file = "") => {
  const whole = hub.repos.get(name)?.files.get(file) ?? Buffer.alloc(0);
  const data = fault?.garble === true ? Buffer.alloc(whole.length, 0x21) : whole;
  const from =
    fault?.ignoreRange === true ? 0 : Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  if (from >= data.length && from > 0) return reply(answer, 416, {});
  const part = data.subarray(from);
  const headers: Record<string, string> = { "content-length": String(part.length), etag: '"of-the-store"' };
  if (from > 0) headers["content-range"] = `bytes ${from}-${data.length - 1}/${data.length}`;
  answer.writeHead(from > 0 ? 206 : 200, headers);
  if (fault?.cutAfter === undefined) return void answer.end(part);
  answer.write(part.subarray(0, fault.cutAfter), () => setTimeout(() => answer.destroy(), 20));
};

/** Data sets stand in `repos` as datasets/OWNER/NAME. */
const ofDataset =
  (route: Route): Route =>
  (call, name, ...rest) =>
    route(call, `datasets/${name}`, ...rest);

const create: Route = ({ hub, request, answer, body }) => {
  const { name, organization, visibility } = JSON.parse(body.toString());
  const id = `${organization}/${name}`;
  if (request.headers.authorization !== "Bearer secret")
    return reply(answer, 401, { error: "Invalid token" });
  if (hub.repos.has(id)) return reply(answer, 409, { error: "You already created this model repo" });
  hub.repos.set(id, { commit: commitId(0), files: new Map(), visibility, token: "secret" });
  reply(answer, 200, { url: `${hub.endpoint}/${id}`, id });
};

const preupload: Route = (call, name = "") => {
  if (visible(call, name) === undefined) return;
  const { files } = JSON.parse(call.body.toString()) as { files: { path: string; size: number }[] };
  const modes = files.map(({ path, size }) => ({ path, uploadMode: size >= largeFrom ? "lfs" : "regular" }));
  reply(call.answer, 200, { files: modes });
};

const batch: Route = (call, name = "") => {
  if (visible(call, name) === undefined) return;
  const { objects } = JSON.parse(call.body.toString()) as { objects: { oid: string; size: number }[] };
  const upload = ({ oid }: { oid: string }): object => ({
    upload: { href: `${call.hub.store}/upload/${oid}` },
  });
  const answers = objects.map((object) => ({ ...object, actions: upload(object) }));
  reply(call.answer, 200, { transfer: "basic", objects: answers });
};

const put: Route = ({ hub, answer, body }, oid = "") => {
  if (hash("sha256", body) !== oid)
    return reply(answer, 400, { error: "the content is not what its id says" });
  hub.uploads.set(oid, body);
  reply(answer, 200, {});
};

const commit: Route = (call, name = "") => {
  const repo = visible(call, name);
  if (repo === undefined) return;
  for (const line of call.body.toString().split("\n")) {
    const { key, value } = JSON.parse(line);
    if (key === "header") repo.message = value.summary;
    if (key === "file") repo.files.set(value.path, Buffer.from(value.content, value.encoding));
    if (key === "lfsFile") repo.files.set(value.path, call.hub.uploads.get(value.oid) ?? Buffer.alloc(0));
  }
  repo.commit = commitId(Number(repo.commit[0]) + 1);
  reply(call.answer, 200, {
    commitOid: repo.commit,
    commitUrl: `${call.hub.endpoint}/${name}`,
    success: true,
  });
};

const routes: readonly [RegExp, string, Route][] = [
  [/^\/api\/models\/(.+)\/revision\/(.+)$/, "GET", info],
  [/^\/api\/models\/(.+)\/tree\/(.+)$/, "GET", tree],
  [/^\/api\/datasets\/(.+)\/revision\/(.+)$/, "GET", ofDataset(info)],
  [/^\/api\/datasets\/(.+)\/tree\/(.+)$/, "GET", ofDataset(tree)],
  [/^\/api\/resolve-cache\/models\/((?:datasets\/)?[^/]+\/[^/]+)\/(.+)$/, "GET", content],
  [/^\/store\/((?:datasets\/)?[^/]+\/[^/]+)\/(.+)$/, "GET", content],
  [/^\/api\/repos\/create$/, "POST", create],
  [/^\/api\/models\/(.+)\/preupload\/main$/, "POST", preupload],
  [/^\/api\/models\/(.+)\/commit\/main$/, "POST", commit],
  [/^\/(.+)\.git\/info\/lfs\/objects\/batch$/, "POST", batch],
  [/^\/upload\/(\w+)$/, "PUT", put],
  [/^\/(.+)\/resolve\/([^/]+)\/(.+)$/, "GET", resolve],
];
