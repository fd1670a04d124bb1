/** Reads server-sent events of one request, so that a refusal has the server's sentence, which an EventSource hides. */
import { Failure, failureOf, send, type Params } from "./api";

export async function readEvents(path: string, params: Params, signal: AbortSignal, hear: (kind: string, news: unknown, size: number) => void): Promise<void> {
  const answer = await send("GET", path, { params, signal });
  if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) {
    const failure = await failureOf(answer);
    throw new Failure(answer.ok ? "invalid" : failure.kind, failure.status, failure.message);
  }
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop()!;
    for (const event of events) {
      const kind = /^event: (.*)$/m.exec(event)?.[1], data = /^data: (.*)$/m.exec(event)?.[1];
      if (kind !== undefined && data !== undefined) hear(kind, JSON.parse(data), data.length);
    }
  }
}
