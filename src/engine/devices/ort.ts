import * as ort from "onnxruntime-node";

export { ort };

/**
 * A session that prints nothing, whatever happens to it: errors are thrown, and what else there is to say
 * helps no user.
 */
export function createSession(
  model: Uint8Array,
  options: ort.InferenceSession.SessionOptions = {},
): Promise<ort.InferenceSession> {
  ort.env.logLevel = "fatal";
  return ort.InferenceSession.create(model, { ...options, logSeverityLevel: 4 });
}
