/** Server-sent events of one question, with the server's sentence where it refuses: an EventSource does not tell it. */
import { Failure, failureOf, send, type Params } from "./api";
import { t } from "./text";

export interface StreamEvent { kind: string; news: unknown }

/** Ends with the stream, or when `signal` is aborted. Throws `Failure`. */
export async function* events(path: string, params: Params, signal: AbortSignal): AsyncGenerator<StreamEvent> {
  const answer = await send("GET", path, { params, signal });
  if (!answer.ok) throw await failureOf(answer);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      if (signal.aborted) return { done: true, value: undefined };
      throw error instanceof TypeError ? new Failure("lost", 0, t("failure.lost")) : error;
    });
    if (done || value === undefined) return;
    const pieces = (rest + value).split("\n\n");
    rest = pieces.pop()!;
    for (const piece of pieces) {
      const lines = piece.split("\n");
      const kind = lines.find((line) => line.startsWith("event:"))?.slice(6).trim();
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      if (kind && data) yield { kind, news: JSON.parse(data) as unknown };
    }
  }
}
