import { at } from "../present.js";
import { applyRules } from "./processors.js";
import { checkAbort, type Generated, type Run } from "./run.js";
import { sampleDistinct } from "./sample.js";
import { logSoftmax, makeTop, offer, topK } from "./select.js";

/** A sequence that goes on. Scores are sums of log-probabilities, rounded to f32 as torch's. */
interface Beam {
  ids: Int32Array;
  score: number;
  /** Row of the batch that it continued last. */
  row: number;
}

/** A place among the answers; not finished: a placeholder that any finished sequence replaces. */
interface Answer {
  ids: Int32Array;
  score: number;
  finished: boolean;
}

/** A beam and the token that may follow it. */
interface Candidate {
  beam: number;
  token: number;
  score: number;
  stopped: boolean;
}

/** All beams of one prompt. */
interface Group {
  index: number;
  running: Beam[];
  answers: Answer[];
  /** Whether a running beam may still beat an answer. */
  open: boolean;
}

/** Added to what must not be chosen; -1e9 is a number of f32. */
const OUT = -1e9;

/**
 * Beam search, and beam sampling. Rules act on log-probabilities; ties go to the earlier beam and the lower
 * token.
 * Reference: generation/utils.py _beam_search
 */
export async function decodeBeams(run: Run): Promise<Generated> {
  const { stepper, decoding } = run;
  const { numBeams, promptLength, earlyStopping } = decoding;
  const groups = Array.from({ length: run.prompts.length / numBeams }, (_, i) => firstGroup(run, i));
  let length = promptLength;
  let scores = await stepper.start();
  for (;;) {
    checkAbort(run, length);
    const stopped = groups.map((group) => advance(run, group, scores, length));
    length++;
    for (const group of groups) group.open &&= mayImprove(run, group, length);
    const full = earlyStopping === true && groups.every((group) => allFinished(group));
    if (full || stopped.every(Boolean) || !groups.some((group) => group.open)) break;
    const running = groups.flatMap((group) => group.running);
    const tokens = Int32Array.from(running, (beam) => at(beam.ids, -1));
    scores = await stepper.next(
      tokens,
      Int32Array.from(running, (beam) => beam.row),
    );
  }
  return collect(run, groups);
}

/** Only the first beam counts at first, so that the beams do not all become the same. */
function firstGroup(run: Run, index: number): Group {
  const { numBeams } = run.decoding;
  const rows = Array.from({ length: numBeams }, (_, i) => index * numBeams + i);
  const running = rows.map((row, i) => ({ ids: at(run.prompts, row), score: i === 0 ? 0 : OUT, row }));
  const answers = rows.map((row) => ({ ids: at(run.prompts, row), score: OUT, finished: false }));
  return { index, running, answers, open: true };
}

/** One step of one group. Returns whether every candidate has ended. */
function advance(run: Run, group: Group, scores: Float32Array, length: number): boolean {
  const candidates = findCandidates(run, group, scores, length);
  const before = group.running;
  const extend = ({ beam, token }: Candidate) => withToken(at(before, beam).ids, token);
  finish(run, group, candidates, extend, length);

  const running = candidates.map((c) => Math.fround(c.score + (c.stopped ? OUT : 0)));
  const best = topK(running, run.decoding.numBeams);
  group.running = Array.from(best.indices, (i) => {
    const candidate = at(candidates, i);
    return {
      ids: extend(candidate),
      score: at(running, i),
      row: group.index * before.length + candidate.beam,
    };
  });
  return candidates.every((candidate) => candidate.stopped);
}

function withToken(ids: Int32Array, token: number): Int32Array {
  const longer = new Int32Array(ids.length + 1);
  longer.set(ids);
  longer[ids.length] = token;
  return longer;
}

/** The best (or drawn) continuations, so many that numBeams are left when all that can end do. */
function findCandidates(run: Run, group: Group, scores: Float32Array, length: number): Candidate[] {
  const { decoding, stepper, padding } = run;
  const { numBeams, eos, promptLength } = decoding;
  const vocab = stepper.vocabSize;
  const all = scores.subarray(group.index * numBeams * vocab, (group.index + 1) * numBeams * vocab);
  group.running.forEach((beam, i) => {
    const own = all.subarray(i * vocab, (i + 1) * vocab);
    logSoftmax(own);
    applyRules(run.rules, beam.ids, own, at(padding, group.index * numBeams + i));
    for (let token = 0; token < vocab; token++) own[token] = at(own, token) + beam.score;
  });
  const wanted = Math.max(2, 1 + eos.length) * numBeams;
  const places = decoding.doSample
    ? sampleDistinct(all, Math.min(wanted, all.length), run.seed, group.index, length - promptLength)
    : bestPlaces(all, wanted);
  return places.map((place) => {
    const beam = Math.floor(place / vocab);
    const token = place % vocab;
    return { beam, token, score: at(all, place), stopped: run.stops(at(group.running, beam).ids, token) };
  });
}

function bestPlaces(scores: Float32Array, wanted: number): number[] {
  const top = makeTop(Math.min(wanted, scores.length));
  for (let i = 0; i < scores.length; i++) offer(top, at(scores, i), i);
  return [...top.indices];
}

/** Puts what ended among the first numBeams candidates where it beats an answer. */
function finish(
  run: Run,
  group: Group,
  candidates: readonly Candidate[],
  extend: (candidate: Candidate) => Int32Array,
  length: number,
): void {
  const { numBeams, lengthPenalty, promptLength, earlyStopping } = run.decoding;
  const divisor = Math.fround((length + 1 - promptLength) ** lengthPenalty);
  const full = earlyStopping === true && allFinished(group);
  const entries = candidates.map((candidate, i) => {
    const finished = candidate.stopped && i < numBeams;
    let score = Math.fround(candidate.score / divisor);
    for (const out of [full, !group.open, !finished]) if (out) score = Math.fround(score + OUT);
    return { score, finished };
  });
  const merged = [...group.answers, ...entries];
  const best = topK(
    merged.map((entry) => entry.score),
    numBeams,
  );
  group.answers = Array.from(best.indices, (i) => {
    if (i < numBeams) return at(group.answers, i);
    return { ...at(entries, i - numBeams), ids: extend(at(candidates, i - numBeams)) };
  });
}

/** Whether the best running beam, at the length it is judged by, beats the worst answer. */
function mayImprove(run: Run, group: Group, length: number): boolean {
  const { earlyStopping, lengthPenalty, maxLength, promptLength } = run.decoding;
  const longest = earlyStopping === "never" && lengthPenalty > 0 ? maxLength : length;
  const best = Math.fround(
    at(group.running, 0).score / Math.fround((longest - promptLength) ** lengthPenalty),
  );
  const worst = Math.min(...group.answers.map((answer) => answer.score));
  return group.answers.some((answer) => best > (answer.finished ? worst : OUT));
}

function allFinished(group: Group): boolean {
  return group.answers.every((answer) => answer.finished);
}

/**
 * The best answers of every prompt, filled to one length.
 * The filler is transformers': the first end token where the padding token is 0.
 */
function collect(run: Run, groups: readonly Group[]): Generated {
  const { eos, pad, numReturnSequences } = run.decoding;
  const answers = groups.flatMap((group) => group.answers.slice(0, numReturnSequences));
  const length = Math.max(...answers.map((answer) => answer.ids.length));
  const filler = pad || (eos[0] ?? pad ?? -1);
  const sequences = answers.map((answer) => {
    const ids = new Int32Array(length).fill(filler);
    ids.set(answer.ids);
    return ids;
  });
  return { sequences, scores: Float32Array.from(answers, (answer) => answer.score) };
}
