/** Name and password; used by the log-in page, and by the dialog over a page whose log-in is over. */
import { useState } from "preact/hooks";
import { logIn, session } from "../session";
import { t } from "../text";

export function LogIn() {
  const before = session.value?.username ?? "";
  const [username, setUsername] = useState(before);
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [asking, setAsking] = useState(false);
  return <form onSubmit={(event) => {
    event.preventDefault();
    setAsking(true);
    void logIn(username, password).then((said) => {
      setProblem(said);
      setAsking(false);
    });
  }}>
    <label class="field"><span class="label">{t("log-in.username")}</span>
      <input name="username" autoComplete="username" required autoFocus={!before} value={username} spellcheck={false} autoCapitalize="off"
        onInput={(event) => setUsername(event.currentTarget.value)} /></label>
    <label class="field"><span class="label">{t("log-in.password")}</span>
      <input name="password" type="password" autoComplete="current-password" required autoFocus={!!before} value={password}
        onInput={(event) => setPassword(event.currentTarget.value)} /></label>
    {problem && <p class="bad" role="alert">{problem}</p>}
    <button class="main" disabled={asking}>{t(asking ? "log-in.asking" : "log-in")}</button>
  </form>;
}
