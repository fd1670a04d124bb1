/** One-key commands; they can be switched off, and do nothing while someone types. */
import { useEffect } from "preact/hooks";
import { oneKeys } from "./preferences";

type Command = (event: KeyboardEvent) => void;
const commands = new Map<string, Command[]>();

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox], [type=radio]), textarea, select"));
}

document.addEventListener("keydown", (event) => {
  const withControl = event.ctrlKey || event.metaKey;
  if (event.altKey || event.defaultPrevented) return;
  if (!withControl && (!oneKeys.value || isTyping(event.target) || document.querySelector("dialog[open]"))) return;
  if (event.key === "Enter" && event.target instanceof HTMLElement && event.target.closest("a, button, summary")) return;
  const command = commands.get(withControl ? `ctrl+${event.key.toLowerCase()}` : event.key)?.at(-1);
  if (!command) return;
  event.preventDefault();
  command(event);
});

/** For the time that a component is shown; the latest one wins. */
export function useKey(key: string, command: Command): void {
  useEffect(() => {
    const all = commands.get(key) ?? [];
    commands.set(key, all);
    all.push(command);
    return () => void all.splice(all.indexOf(command), 1);
  });
}
