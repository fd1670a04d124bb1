/** Side list, top strip, and the page of the place. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { silent } from "../api";
import { apart, APART_S, isCluster, watchNodes } from "../cluster";
import { useKey } from "../keys";
import { liveState, paused } from "../live";
import { Confirmations } from "../parts/confirm";
import { Dialog } from "../parts/dialog";
import { isPaletteOpen, Palette } from "../parts/palette";
import { Partly } from "../parts/states";
import { Toasts } from "../parts/toast";
import { placeNamed } from "../places";
import { nextTheme } from "../preferences";
import { refreshAll } from "../refresh";
import { watchRefusals } from "../refusals";
import { isOver, session } from "../session";
import { t } from "../text";
import { zoneName } from "../time";
import { param, place } from "../url";
import { LogIn } from "./log-in";
import { Page } from "./page";
import { Side } from "./side";
import { Strip } from "./strip";

const help = signal(false);

export function Frame() {
  useKey("ctrl+k", () => (isPaletteOpen.value = true));
  useKey("r", refreshAll);
  useKey("p", () => (paused.value = !paused.value));
  useKey("t", nextTheme);
  useKey("?", () => (help.value = true));
  useEffect(watchNodes, []);
  useEffect(watchRefusals, []);
  useEffect(() => () => (isPaletteOpen.value = false), []);
  return <>
    <a class="skip" href="#main" onClick={(event) => {
      event.preventDefault();
      document.querySelector<HTMLElement>("h1")?.focus();
    }}>{t("frame.skip")}</a>
    <div class="frame">
      <Side />
      <Strip />
      <main class="page" id="main"><Across /><Page /><Foot /></main>
    </div>
    <Confirmations />
    {isPaletteOpen.value && <Palette close={() => (isPaletteOpen.value = false)} />}
    {help.value && <Help />}
    {isOver.value && <Dialog title={t("log-in.over")}><LogIn /></Dialog>}
    <Toasts />
  </>;
}

/** What is not whole in a cluster. */
function Across() {
  const node = param("node");
  if (!isCluster.value || !placeNamed(place.value)?.ofNodes) return null;
  const missing = [...silent.value].filter((one) => !node || one === node);
  return <><Partly nodes={missing} />
    {apart.value > APART_S && <div class="state-line" role="status">{t("frame.apart", { s: apart.value })}</div>}</>;
}

function Foot() {
  const { version, node } = session.value!;
  return <footer class="foot">
    <span>{t("frame.version", { version: version ?? "" })}</span><span>{node}</span>
    <span>{t("frame.zone", { zone: zoneName() })}</span>
    <span class="hidden" role="status">{t(`live.${paused.value ? "paused" : liveState.value}`)}</span>
    <a href="assets/licences.txt">{t("frame.licences")}</a>
  </footer>;
}

const KEYS = ["ctrl+k", "/", "j k", "Enter", "x", "r", "p", "t", "?"] as const;

function Help() {
  const close = (): void => void (help.value = false);
  return <Dialog title={t("help.title")} close={close}>
    <dl class="facts">{KEYS.map((key) => <><dt><code>{key === "ctrl+k" ? "Ctrl K" : key}</code></dt><dd>{t(`help.${key}`)}</dd></>)}</dl>
    <div class="actions"><button class="main" onClick={close}>{t("confirm.close")}</button></div>
  </Dialog>;
}
