import { render } from "preact";
import { Frame } from "./frame/frame";
import { Gate } from "./frame/gate";
import { findSession, session } from "./session";
import { speak, t } from "./text";

function Dashboard() {
  return session.value?.username ? <Frame /> : <Gate />;
}

const root = document.getElementById("frame")!;
const [, problem] = await Promise.all([speak(), findSession()]);
if (problem === null) render(<Dashboard />, root);
else {
  // A proxy or the broker itself, which may be starting.
  render(<main class="gate"><div role="alert"><h1>{t("failure.no-start")}</h1><p>{problem}</p></div></main>, root);
  setTimeout(() => location.reload(), 5000);
}
