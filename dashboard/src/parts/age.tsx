/** "3 s ago", with the date on hover; `bad` where it should be fresher. */
import { absolute, now, span } from "../time";
import { t } from "../text";

export function Age({ at, bad }: { at: number; bad?: boolean }) {
  if (!at) return null;
  const ago = Math.max(0, now.value - at);
  return <time class={bad ? "bad" : "quiet"} dateTime={new Date(at * 1000).toISOString()} title={absolute(at)}>
    {ago < 2 ? t("age.now") : t("age.ago", { span: span(ago) })}</time>;
}
