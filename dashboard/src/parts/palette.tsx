/** Ctrl+K: places by their names, and what was typed as a client id, a user or a topic. */
import { signal } from "@preact/signals";
import { useId, useState } from "preact/hooks";
import { PLACES } from "../places";
import { may } from "../session";
import { t } from "../text";
import { go, type Query } from "../url";
import { Dialog } from "./dialog";

export const isPaletteOpen = signal(false);

interface Hit { text: string; label: string; to: string; query?: Query; link?: string }

function hits(typed: string): Hit[] {
  const wanted = typed.trim().toLowerCase();
  const places = PLACES.filter((place) => place.group && (!place.role || may(place.role)))
    .map((place): Hit => ({ text: t(place.title), label: t("palette.place"), to: place.name, link: place.link }))
    .filter((hit) => hit.text.toLowerCase().includes(wanted) || hit.to.includes(wanted));
  if (!typed) return places;
  const things: Hit[] = [
    { text: typed, label: t("palette.client"), to: "client", query: { id: typed } },
    { text: typed, label: t("palette.clients"), to: "clients", query: { _like_client_id: typed } },
    { text: typed, label: t("palette.user"), to: "clients", query: { username: typed } },
    { text: typed, label: t("palette.subscriptions"), to: "subscriptions", query: { _match_topic: typed } },
  ];
  if (!/[#+]/.test(typed)) things.push({ text: typed, label: t("palette.explain"), to: "explain", query: { topic: typed } });
  things.push({ text: typed, label: t("palette.topics"), to: "topics", query: { topic: typed } });
  return typed.includes("/") ? [...things.slice(3), ...things.slice(0, 3), ...places] : [...places, ...things];
}

export function Palette({ close }: { close: () => void }) {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const id = useId();
  const found = hits(typed);
  const choose = (hit: Hit | undefined): void => {
    if (!hit) return;
    close();
    if (hit.link) open(hit.link);
    else go(hit.to, hit.query);
  };
  return <Dialog title={t("palette.title")} close={close} bare className="palette">
    <input role="combobox" aria-expanded="true" aria-controls={id} aria-activedescendant={`${id}-${at}`} aria-label={t("palette.title")}
      placeholder={t("palette.hint")} value={typed} autoFocus autoComplete="off" spellcheck={false}
      onInput={(event) => {
        setTyped(event.currentTarget.value);
        setAt(0);
      }}
      onKeyDown={(event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) {
          event.preventDefault();
          setAt((at + step + found.length) % found.length);
          document.getElementById(`${id}-${(at + step + found.length) % found.length}`)?.scrollIntoView({ block: "nearest" });
        }
        if (event.key === "Enter") choose(found[at]);
      }} />
    <ul role="listbox" id={id} aria-label={t("palette.title")}>{found.map((hit, index) => <li role="option" id={`${id}-${index}`} key={`${hit.to}${hit.label}`}
      aria-selected={index === at} onPointerMove={() => setAt(index)} onClick={() => choose(hit)}>
      <span>{hit.text}</span><span class="label">{hit.label}</span></li>)}</ul>
  </Dialog>;
}
