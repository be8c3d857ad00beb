// Trains a few steps on one clip a batch, in a process of its own, and says what memory they took:
//   node tools/memory/speech.mjs DIST FOLDER TASK STEPS LOAD_OPTIONS [SECONDS]
//   npm run shapes -- whisper-large-v3 /tmp/large --dtype f16
//   npm run bench -- limit 4GB -- node tools/memory/speech.mjs dist /tmp/large SPEECH_SEQ_2_SEQ 2 '{"load":"int8","maxMemory":"3.7GB"}'
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, folder, task, steps, options, seconds = "10"] = process.argv.slice(2);
const { getPeftModel, LoraConfig, PreTrainedModel, AdamW } = await import(
  pathToFileURL(join(dist, "index.js"))
);

let peak = 0;
const look = () => {
  const text = readFileSync("/proc/self/status", "utf8");
  peak = Math.max(peak, Number(/RssAnon:\s+(\d+) kB/.exec(text)[1]) * 1024);
};
const timer = setInterval(look, 20);
const base = await PreTrainedModel.load(task, folder, JSON.parse(options));
const model = getPeftModel(
  base,
  new LoraConfig({ r: 32, loraAlpha: 64, targetModules: ["q_proj", "v_proj"] }),
);
const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-4 });
const losses = [];
const took = [];
for (let i = 0; i < Number(steps); i++) {
  const start = performance.now();
  losses.push((await model.forwardBackward(clip(Number(seconds)))).loss);
  await optimizer.step();
  took.push(Math.round((performance.now() - start) / 100) / 10);
  look();
  console.log(JSON.stringify({ step: i + 1, loss: losses.at(-1), seconds: took.at(-1), peakMB: peak >> 20 }));
}
clearInterval(timer);
console.log(JSON.stringify({ trainable: model.trainableParameters().size, peak, losses, seconds: took }));
await base.close();
process.exit(0);

/** A clip of noise, always the same, with labels: Whisper's thirty seconds, or so many of samples. */
function clip(length) {
  const { lengths, vocabSize } = base.config;
  const noise = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 12.9898) * Math.cos(i * 0.37));
  const labels = Int32Array.from({ length: 40 }, (_, i) => 4 + ((i * 7919) % (vocabSize - 4)));
  const features = lengths && {
    data: noise(lengths.mels * lengths.frames),
    shape: [1, lengths.mels, lengths.frames],
  };
  const columns = features
    ? { inputFeatures: features }
    : { inputValues: { data: noise(16000 * length), shape: [1, 16000 * length] } };
  return { task, columns, labels: { data: labels, shape: [1, 40] } };
}
