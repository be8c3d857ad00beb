import { readFile } from "node:fs/promises";
import * as os from "node:os";
import { engineVersion, largestInt8Weight, probeDevices } from "../engine/engine.js";
import { environment, nodeFiles } from "../hub/files.js";
import { innermost } from "../hub/requests.js";
import { type HubOptions, type HubSettings, hubSettings } from "../hub/settings.js";
import { availableBytes } from "../platform.js";
import { quantizedFolder } from "./base_model.js";

/** What `inspectMachine` asks with. */
export interface MachineRequest extends HubOptions {
  /** Milliseconds that the Hub has to answer. @default 5000 */
  readonly patience?: number | undefined;
}

/** Something that was seen, and what would help. */
export interface Advice {
  readonly seen: string;
  readonly help: string;
}

/** What this machine has of what peft.js needs. Sizes are in bytes. */
export interface MachineReport {
  /**
   * The system as Node names it: "linux 6.1", its processor architecture, and the C library where Node tells
   * it.
   */
  readonly system: { readonly name: string; readonly arch: string; readonly glibc: string | undefined };
  readonly node: string;
  readonly engine: {
    /** ONNX Runtime's version; undefined where it does not start. */
    readonly version: string | undefined;
    /** Why it does not start. */
    readonly fault: string | undefined;
    readonly devices: readonly string[];
    /** 127: products of bytes are exact; 63: int8 weights keep 7 bits here. */
    readonly largestInt8: 127 | 63 | undefined;
  };
  readonly processor: {
    readonly model: string;
    readonly threads: number;
    /**
     * Of avx2, avx512f, avx512_vnni, avx_vnni, avx512_bf16, amx_int8, asimddp; undefined where the system
     * does not tell.
     */
    readonly kernels: readonly string[] | undefined;
  };
  readonly memory: {
    readonly total: number;
    readonly available: number;
    /** What a container may take; undefined: no limit below the machine's memory. */
    readonly limit: number | undefined;
  };
  readonly cache: {
    readonly folder: string;
    readonly repositories: number;
    readonly bytes: number;
    readonly quantizedFolder: string;
    readonly quantizedBytes: number;
    /** On its disk. */
    readonly free: number;
  };
  readonly hub: {
    readonly endpoint: string;
    /** HF_HUB_OFFLINE is set: nobody is asked. */
    readonly isOffline: boolean;
    readonly isReached: boolean;
    readonly hasToken: boolean;
    /** Why it is not reached. */
    readonly fault: string | undefined;
  };
  readonly advice: readonly Advice[];
}

const KERNELS = ["avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "asimddp"];

/**
 * What this machine has of what peft.js needs, and what would help. Asks the Hub once, without a token,
 * unless it is offline.
 * @example
 * ```ts
 * import { inspectMachine } from "peft.js";
 * const { engine, memory, advice } = await inspectMachine();
 * console.log(engine.devices, memory.available, advice);
 * ```
 */
export async function inspectMachine(request: MachineRequest = {}): Promise<MachineReport> {
  const settings = await hubSettings(request, nodeFiles);
  const [engine, processor, cache, hub] = await Promise.all([
    engineReport(),
    processorReport(),
    cacheReport(settings, request),
    hubReport(settings, request.patience ?? 5000),
  ]);
  const report = {
    system: { name: `${process.platform} ${os.release()}`, arch: process.arch, glibc: glibc() },
    node: process.versions.node,
    ...{ engine, processor, memory: memoryReport(), cache, hub },
  };
  return { ...report, advice: rules.flatMap((rule) => rule(report) ?? []) };
}

async function engineReport(): Promise<MachineReport["engine"]> {
  try {
    const version = await engineVersion();
    return {
      ...{ version, fault: undefined },
      devices: await probeDevices(),
      largestInt8: await largestInt8Weight(),
    };
  } catch (error) {
    return { version: undefined, fault: innermost(error), devices: [], largestInt8: undefined };
  }
}

async function processorReport(): Promise<MachineReport["processor"]> {
  const model = os.cpus()[0]?.model.trim() ?? process.arch;
  const text = await readFile("/proc/cpuinfo", "utf8").catch(() => undefined);
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(text ?? "")?.[1]?.split(/\s+/);
  const kernels = flags === undefined ? undefined : KERNELS.filter((name) => flags.includes(name));
  return { model, threads: os.availableParallelism(), kernels };
}

function memoryReport(): MachineReport["memory"] {
  const total = os.totalmem();
  const limit = process.constrainedMemory();
  return { total, available: availableBytes(), limit: limit > 0 && limit < total ? limit : undefined };
}

async function cacheReport(
  { cacheDir }: HubSettings,
  request: MachineRequest,
): Promise<MachineReport["cache"]> {
  const names = (await nodeFiles.list(cacheDir)).filter((name) => /^(models|datasets)--/.test(name));
  let bytes = 0;
  for (const name of names) bytes += await bytesIn(nodeFiles.join(cacheDir, name, "blobs"));
  const quantized = await quantizedFolder(request);
  return {
    ...{ folder: cacheDir, repositories: names.length, bytes },
    ...{ quantizedFolder: quantized, quantizedBytes: await bytesIn(quantized) },
    free: await nodeFiles.free(await nearestFolder(cacheDir)),
  };
}

/** Bytes of the files below a folder; what disappears meanwhile counts nothing. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await nodeFiles.listDeep(folder))
    bytes += await nodeFiles.size(nodeFiles.join(folder, name)).catch(() => 0);
  return bytes;
}

/** The folder itself, or the first above it that is there. */
async function nearestFolder(folder: string): Promise<string> {
  const above = nodeFiles.parent(folder);
  return above === folder || (await nodeFiles.isFolder(folder)) ? folder : nearestFolder(above);
}

async function hubReport(settings: HubSettings, patience: number): Promise<MachineReport["hub"]> {
  const { endpoint, offline: isOffline, token } = settings;
  const report = { endpoint, isOffline, hasToken: token !== undefined };
  if (isOffline) return { ...report, isReached: false, fault: undefined };
  try {
    const answer = await settings.fetch(endpoint, { method: "HEAD", signal: AbortSignal.timeout(patience) });
    const fault = answer.status < 500 ? undefined : `it answered ${answer.status}`;
    return { ...report, isReached: fault === undefined, fault };
  } catch (error) {
    return { ...report, isReached: false, fault: innermost(error) };
  }
}

/** The version of glibc; undefined elsewhere, and where the system has another C library. */
function glibc(): string | undefined {
  const report = process.report.getReport();
  const header: unknown = "header" in report ? report.header : undefined;
  if (typeof header !== "object" || header === null || !("glibcVersionRuntime" in header)) return undefined;
  return String(header.glibcVersionRuntime);
}

const GB = 2 ** 30;

/** Each looks at one thing; undefined: there is nothing to say about it. */
const rules: readonly ((report: Omit<MachineReport, "advice">) => Advice | undefined)[] = [
  ({ engine: { fault } }) =>
    fault === undefined
      ? undefined
      : {
          seen: `ONNX Runtime does not start: ${fault}`,
          help: "see SUPPORT.md for the systems that it has binaries for (Alpine and Intel Macs are none), and install again on this one.",
        },
  ({ system: { arch }, processor: { kernels } }) =>
    arch !== "x64" || kernels === undefined || kernels.includes("avx2")
      ? undefined
      : { seen: "this processor has no AVX2.", help: "another machine will be several times as fast." },
  ({ engine: { largestInt8 } }) =>
    largestInt8 !== 63
      ? undefined
      : {
          seen: "this processor has no VNNI: int8 weights keep 7 bits.",
          help: "where accuracy matters more than speed, use nf4 or the weights as stored.",
        },
  ({ memory: { available } }) =>
    available >= 2 * GB
      ? undefined
      : {
          seen: "less than 2 GB of memory are free.",
          help: "`peft info --model NAME --memory` shows what fits; --max-memory keeps a run within it.",
        },
  ({ cache: { free, folder } }) =>
    free >= 5 * GB
      ? undefined
      : {
          seen: `less than 5 GB are free on the disk of "${folder}".`,
          help: "make room, or let HF_HOME name a folder of another disk.",
        },
  ({ hub: { isOffline } }) =>
    isOffline
      ? {
          seen: "HF_HUB_OFFLINE is set: nothing is downloaded.",
          help: "unset it to take models from the Hub.",
        }
      : undefined,
  ({ hub: { fault, endpoint } }) =>
    fault === undefined
      ? undefined
      : {
          seen: `${endpoint} is not reached: ${fault}.`,
          help: hasProxy()
            ? "Node takes HTTPS_PROXY where NODE_USE_ENV_PROXY=1 (Node 24); HF_ENDPOINT names a mirror."
            : "check the network; HF_ENDPOINT names a mirror; folders and the cache work without it.",
        },
];

function hasProxy(): boolean {
  const env = environment();
  return ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].some((name) => env[name] !== undefined);
}
