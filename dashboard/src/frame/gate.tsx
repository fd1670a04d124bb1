/** Before somebody is logged in: the log-in, or at the first run the choice of a password. */
import { useEffect, useState } from "preact/hooks";
import { chooseFirst, session } from "../session";
import { t } from "../text";
import { param, place } from "../url";
import { LogIn } from "./log-in";

const SHORTEST = 8;

export function Gate() {
  const isFirst = place.value === "first" || session.value?.choose_password === true;
  const title = t(isFirst ? "first.title" : "log-in.title");
  useEffect(() => void (document.title = title), [title]);
  return <main class="gate"><div class="sheet"><div class="gate-inner">
    <h1>{title}</h1>{isFirst ? <First token={param("token")} /> : <LogIn />}</div></div></main>;
}

function First({ token }: { token: string }) {
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const differs = again !== "" && again !== password;
  return <form onSubmit={(event) => {
    event.preventDefault();
    void chooseFirst(password, token).then((said) => {
      setProblem(said);
      if (said === null) location.hash = "#/overview";
    });
  }}>
    <p class="quiet">{t("first.why")}</p>
    <input type="hidden" autoComplete="username" value="admin" />
    <label class="field"><span class="label">{t("first.password", { n: SHORTEST })}</span>
      <input name="password" type="password" autoComplete="new-password" required minLength={SHORTEST} autoFocus value={password}
        onInput={(event) => setPassword(event.currentTarget.value)} /></label>
    <label class="field"><span class="label">{t("first.again")}</span>
      <input name="again" type="password" autoComplete="new-password" required value={again}
        onInput={(event) => setAgain(event.currentTarget.value)} /></label>
    {differs && <p class="bad">{t("first.differs")}</p>}
    {problem && <p class="bad" role="alert">{problem}</p>}
    <button class="main" disabled={password === "" || again !== password}>{t("first.choose")}</button>
  </form>;
}
