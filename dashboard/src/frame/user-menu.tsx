/** Theme, language, preferences, own password, log-out. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "../parts/icon";
import { complain } from "../parts/toast";
import { oneKeys, patterns, roomy, theme, zone, type Theme } from "../preferences";
import { logOut, session } from "../session";
import { chosenLanguage, language, speak, t, type Language } from "../text";
import { href } from "../url";

const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export function UserMenu() {
  const [isOpen, open] = useState(false);
  const holder = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const elsewhere = (event: Event): void => {
      if (!holder.current!.contains(event.target as Node)) open(false);
    };
    const escape = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      open(false);
      holder.current!.querySelector("button")!.focus();
    };
    document.addEventListener("pointerdown", elsewhere);
    document.addEventListener("keydown", escape);
    return () => {
      document.removeEventListener("pointerdown", elsewhere);
      document.removeEventListener("keydown", escape);
    };
  }, [isOpen]);
  const { username, role } = session.value!;
  return <div class="menu-holder" ref={holder}>
    <button aria-expanded={isOpen} onClick={() => open(!isOpen)}><Icon name="user" /> {username}</button>
    {isOpen && <div class="popover menu">
      <div>{username} · <span class="quiet">{t(`role.${role!}`)}</span></div>
      <div class="segments" role="group" aria-label={t("menu.theme")}>{THEMES.map((one) => <button key={one}
        aria-pressed={theme.value === one} onClick={() => (theme.value = one)}><Icon name={one satisfies IconName} /> {t(`theme.${one}`)}</button>)}</div>
      <label class="row">{t("menu.language")} <select value={language.value} onChange={(event) => {
        chosenLanguage.value = event.currentTarget.value as Language;
        void speak();
      }}><option value="en" lang="en">English</option><option value="zh" lang="zh">简体中文</option></select></label>
      <label class="row">{t("menu.zone")} <select value={zone.value} onChange={(event) =>
        (zone.value = event.currentTarget.value === "utc" ? "utc" : "browser")}>
        <option value="browser">{t("zone.browser")}</option><option value="utc">UTC</option></select></label>
      <Check title={t("menu.roomy")} of={roomy} />
      <Check title={t("menu.patterns")} of={patterns} />
      <Check title={t("menu.keys")} of={oneKeys} />
      <hr />
      <a href={href("users", { name: username })} onClick={() => open(false)}>{t("menu.account")}</a>
      <button onClick={() => void logOut().then((problem) => problem && complain(new Error(problem)))}>{t("menu.log-out")}</button>
    </div>}
  </div>;
}

function Check({ title, of }: { title: string; of: { value: boolean } }) {
  return <label><input type="checkbox" checked={of.value} onChange={(event) => (of.value = event.currentTarget.checked)} /> {title}</label>;
}
