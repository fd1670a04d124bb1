/** The SharedWorker: all windows of a browser share its stream. A browser has six connections to a server at most. */
import { LiveStream, type Wanted } from "./live-stream";

const stream = new LiveStream();

(self as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
  const port = event.ports[0]!;
  port.onmessage = ({ data }: MessageEvent<Wanted | null>) => {
    if (data === null) stream.leave(port);
    else stream.listen(port, data, (said) => port.postMessage(said));
  };
};
