/** The head of a page: its name, and what acts on all of it. */
import type { ComponentChildren } from "preact";

export function Heading({ title, children }: { title: ComponentChildren; children?: ComponentChildren }) {
  return <header><h1 tabIndex={-1}>{title}</h1>{children}</header>;
}
