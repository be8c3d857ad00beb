import { formatBytes, inspectMachine, type MachineReport } from "../index.js";
import type { Settings, Verb } from "./options.js";
import type { Terminal } from "./terminal.js";

/** `peft doctor` */
export const doctor: Verb = {
  name: "doctor",
  summary: "Show what this machine has, what works on it, and what would help.",
  examples: ["peft doctor", "peft doctor --json > doctor.json"],
  groups: () => [{ title: "Output", options: [{ key: "json", kind: "flag", help: "all of it, as JSON" }] }],
  run,
};

async function run(settings: Settings, terminal: Terminal): Promise<number> {
  const report = await inspectMachine();
  const { version } = JSON.parse(await terminal.readFile(terminal.packagePath("package.json")));
  if (settings.flag("json")) terminal.print(JSON.stringify({ peft: version, ...report }, null, 2));
  else for (const line of describe(version, report)) terminal.print(line);
  return report.engine.fault === undefined ? 0 : 1;
}

function describe(version: string, report: MachineReport): string[] {
  const { system, node, engine, processor, memory, cache, hub, advice } = report;
  const libc = system.glibc === undefined ? "" : `, glibc ${system.glibc}`;
  const kernels = processor.kernels === undefined ? "" : `; ${processor.kernels.join(", ") || "no AVX2"}`;
  const limit = memory.limit === undefined ? "" : `; limited to ${formatBytes(memory.limit)}`;
  const int8 = engine.largestInt8 === undefined ? "" : `; int8 in ${engine.largestInt8 === 127 ? 8 : 7} bits`;
  const reach = hub.isOffline ? "offline" : hub.isReached ? "reached" : "not reached";
  return [
    `peft.js     ${version}`,
    `Node        ${node}`,
    `engine      ONNX Runtime ${engine.version ?? "does not start"}; devices: ${engine.devices.join(", ") || "none"}${int8}`,
    `system      ${system.name}, ${system.arch}${libc}`,
    `processor   ${processor.model}, ${processor.threads} threads${kernels}`,
    `memory      ${formatBytes(memory.available)} free of ${formatBytes(memory.total)}${limit}`,
    `cache       ${cache.folder}: ${cache.repositories} repositories, ${formatBytes(cache.bytes)}; ${formatBytes(cache.free)} free`,
    `quantized   ${cache.quantizedFolder}: ${formatBytes(cache.quantizedBytes)}`,
    `Hub         ${hub.endpoint}: ${reach}; ${hub.hasToken ? "a token is set" : "no token"}`,
    ...(advice.length === 0 ? ["", "Nothing stands in the way."] : [""]),
    ...advice.flatMap(({ seen, help }) => [`- ${seen}`, `  ${help}`]),
  ];
}
