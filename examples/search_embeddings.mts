// Search: a model learns which answers belong to which questions, then finds the nearest answer.
//   npx tsx search_embeddings.mts sentence-transformers/all-MiniLM-L6-v2
import { pipeline, rowsFrom, train } from "peft.js";

const [name = "sentence-transformers/all-MiniLM-L6-v2", epochs = "3"] = process.argv.slice(2);
const known = [
  { question: "How do I return a parcel?", answer: "Returns are free for 30 days." },
  { question: "When do you open?", answer: "We are open from 9 to 5." },
  { question: "My card is lost", answer: "Block it in the app." },
  { question: "The train was late", answer: "Delays of an hour give back a quarter of the fare." },
];

const run = train({
  ...{ model: name, output: "search", overwrite: true, taskType: "FEATURE_EXTRACTION" },
  rows: rowsFrom(known, { columns: { anchor: "question", positive: "answer" } }),
  ...{ epochs: Number(epochs), batchSize: 4, loss: "multipleNegativesRanking", lossOptions: { scale: 20 } },
});
for await (const event of run) if (event.type === "end") console.log(event.line);

await using embed = await pipeline("feature-extraction", "search", { normalize: true });
const answers = known.map(({ answer }) => answer);
const vectors = await embed(answers); // once, and kept: in memory, in a file, in a database of vectors

async function search(question: string): Promise<{ answer: string; score: number }[]> {
  const asked = await embed(question);
  const scores = vectors.map((vector) => vector.reduce((sum, x, i) => sum + x * (asked[i] ?? 0), 0));
  return answers.map((answer, i) => ({ answer, score: scores[i] ?? 0 })).sort((a, b) => b.score - a.score);
}

for (const { answer, score } of await search("I have lost my card")) console.log(score.toFixed(3), answer);
