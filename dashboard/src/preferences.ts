/** What someone prefers in this browser; nothing secret. Where there is no storage, it lasts as long as the page. */
import { effect, signal, type Signal } from "@preact/signals";

function read<T>(name: string, otherwise: T): T {
  try {
    const kept = localStorage.getItem(`dashboard.${name}`);
    return kept === null ? otherwise : (JSON.parse(kept) as T);
  } catch {
    return otherwise;
  }
}

export function stored<T>(name: string, otherwise: T): Signal<T> {
  const value = signal<T>(read(name, otherwise));
  effect(() => {
    const now = JSON.stringify(value.value);
    try {
      if (now === JSON.stringify(otherwise)) localStorage.removeItem(`dashboard.${name}`);
      else localStorage.setItem(`dashboard.${name}`, now);
    } catch { /* no storage */ }
  });
  return value;
}

export type Theme = "auto" | "light" | "dark";
export const theme = stored<Theme>("theme", "auto");
export const nextTheme = (): void =>
  void (theme.value = theme.value === "auto" ? "light" : theme.value === "light" ? "dark" : "auto");
export const roomy = stored("roomy", false);
export const patterns = stored("patterns", false);
export const oneKeys = stored("keys", true);
export type Zone = "browser" | "utc";
export const zone = stored<Zone>("zone", "browser");

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const system = signal(darkSystem.matches);
darkSystem.addEventListener("change", () => (system.value = darkSystem.matches));
export const isDark = (): boolean => (theme.value === "auto" ? system.value : theme.value === "dark");

effect(() => {
  const root = document.documentElement;
  root.style.colorScheme = theme.value === "auto" ? "light dark" : theme.value;
  root.classList.toggle("roomy", roomy.value);
});
