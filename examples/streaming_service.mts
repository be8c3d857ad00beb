// A chat over HTTP that sends its answer while it is written, as server-sent events; a client that goes away
// stops it.
//   npx tsx streaming_service.mts HuggingFaceTB/SmolLM2-135M-Instruct
//   curl -N -d '{"messages": [{"role": "user", "content": "Who are you?"}]}' http://localhost:3000
import { createServer } from "node:http";
import { pipeline } from "peft.js";

const [name = "HuggingFaceTB/SmolLM2-135M-Instruct"] = process.argv.slice(2); // or the folder of an adapter
const write = await pipeline("text-generation", name, { maxNewTokens: 200 });

const server = createServer(async (request, response) => {
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  try {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { messages } = JSON.parse(body);
    const answer = write.stream(messages, { signal: gone.signal });
    for await (const text of answer) {
      if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ text })}\n\n`);
    }
    response.end("data: [DONE]\n\n");
  } catch (error) {
    if (gone.signal.aborted) return;
    if (!response.headersSent) response.writeHead(400);
    response.end(String(error));
  }
});
server.listen(Number(process.env["PORT"] ?? 3000), () => console.log("listening", server.address()));
