/** Names as they are: levels with faint slashes, what cannot be seen as marks. */
import type { ComponentChildren } from "preact";
import { href } from "../url";

// Control characters, and those that turn or hide text.
// eslint-disable-next-line no-control-regex
const UNSEEN = /([\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb])/;

function marked(text: string): ComponentChildren[] {
  return text.split(UNSEEN).map((piece, index) => index % 2
    ? <span class="mark" key={index}>{`U+${piece.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`}</span>
    : piece);
}

const MOST = 200;

/** A client id, user name or other text of a client. Long ones are cut in sight, whole in the title. */
export function Id({ children, whole }: { children: string | null | undefined; whole?: boolean }) {
  if (children === null || children === undefined) return <span class="quiet">–</span>;
  const cut = !whole && children.length > MOST;
  return <code title={cut ? children : undefined}>{children === "" ? <span class="quiet">""</span>
    : marked(cut ? `${children.slice(0, MOST)}…` : children)}</code>;
}

export function Topic({ children: topic, linked = false }: { children: string; linked?: boolean }) {
  const levels = topic.split("/");
  return <span class="topic" title={topic.length > MOST ? topic.slice(0, 2000) : undefined}>
    {levels.slice(0, 100).map((level, index) => {
      const below = `${levels.slice(0, index + 1).join("/")}${index < levels.length - 1 ? "/#" : ""}`;
      return <span key={index}>{index > 0 && <i>/</i>}{linked ? <a href={href("topics", { topic: below })}>{marked(level)}</a>
        : marked(level)}</span>;
    })}{levels.length > 100 && "…"}
  </span>;
}

export function ClientLink({ id }: { id: string }) {
  return <a href={href("client", { id })}><Id>{id}</Id></a>;
}
