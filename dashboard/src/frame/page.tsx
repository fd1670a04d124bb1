/** The page of the place, loaded when it is gone to first. */
import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { pages } from "../generated/pages";
import { Heading } from "../parts/heading";
import { Skeleton } from "../parts/states";
import { placeNamed } from "../places";
import { may } from "../session";
import { t } from "../text";
import { place } from "../url";

const loaded = new Map<string, ComponentType>();

export function Page() {
  const name = place.value;
  const known = placeNamed(name);
  const [, draw] = useState(0);
  const [failed, setFailed] = useState(false);
  const title = known ? t(known.title) : t("page.unknown");
  const Shown = loaded.get(name);
  const isAllowed = !known?.role || may(known.role);

  useEffect(() => {
    document.title = title;
    setFailed(false);
    const load = pages[name];
    if (!load || loaded.has(name)) return;
    load().then((chunk) => {
      loaded.set(name, chunk.default);
      draw((count) => count + 1);
    }, () => setFailed(true));
  }, [name, title]);
  useEffect(() => {
    // Not at the first load: the browser's own order is right then.
    if (document.activeElement !== document.body || wasElsewhere) document.querySelector<HTMLElement>("h1")?.focus({ preventScroll: true });
    wasElsewhere = true;
    scrollTo(0, 0);
  }, [name, Shown]);

  if (known && !isAllowed) return <Title text={title}><p>{t("page.role", { role: t(`role.${known.role!}`) })}</p></Title>;
  if (Shown) return <Shown key={name} />;
  if (!known || !pages[name]) return <Title text={title}><p>{t(known ? "page.not-built" : "page.no-such", { name })}</p></Title>;
  return <Title text={title}>{failed
    ? <p role="alert">{t("page.failed")} <button class="link" onClick={() => location.reload()}>{t("page.reload")}</button></p>
    : <Skeleton />}</Title>;
}

let wasElsewhere = false;

function Title({ text, children }: { text: string; children: ComponentChildren }) {
  return <><Heading title={text} />{children}</>;
}
