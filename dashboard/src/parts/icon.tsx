export type IconName = "search" | "pause" | "play" | "refresh" | "close" | "menu" | "right" | "down" | "left" | "copy"
  | "download" | "upload" | "user" | "light" | "dark" | "auto" | "table" | "chart" | "plus" | "alarm" | "columns";

export function Icon({ name }: { name: IconName }) {
  return <svg class="icon" aria-hidden="true"><use href={`${ICONS}#${name}`} /></svg>;
}
