// A chat about your own documents: the nearest pieces of them are put before the question.
//   npx tsx own_documents.mts HuggingFaceTB/SmolLM2-135M-Instruct sentence-transformers/all-MiniLM-L6-v2 notes/*.md
import { readFile } from "node:fs/promises";
import { pipeline } from "peft.js";

const [
  chat = "HuggingFaceTB/SmolLM2-135M-Instruct",
  embedder = "sentence-transformers/all-MiniLM-L6-v2",
  ...files
] = process.argv.slice(2);
const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
const pieces = texts.flatMap((text) => text.split(/\n\s*\n/)).filter((piece) => piece.trim() !== "");
if (pieces.length === 0)
  throw new Error("name text files: npx tsx own_documents.mts MODEL EMBEDDER notes/*.md");

await using embed = await pipeline("feature-extraction", embedder, { normalize: true });
const vectors = await embed(pieces);

/** The pieces that are nearest to a question. */
async function nearest(question: string, count = 3): Promise<string[]> {
  const asked = await embed(question);
  const scores = vectors.map((vector) => vector.reduce((sum, x, i) => sum + x * (asked[i] ?? 0), 0));
  const order = pieces.map((_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
  return order.slice(0, count).map((i) => pieces[i] ?? "");
}

await using write = await pipeline("text-generation", chat); // or the folder of an adapter of yours
const question = process.env["QUESTION"] ?? "What do these documents say?";
const context = (await nearest(question)).join("\n\n");
const messages = [
  { role: "system", content: `Answer from these documents alone.\n\n${context}` },
  { role: "user", content: question },
];
for await (const text of write.stream(messages, { maxNewTokens: 40 })) process.stdout.write(text);
console.log();
