import { useEffect } from "preact/hooks";
import { silent } from "../api";
import { isCluster, nodes } from "../cluster";
import { liveState, paused, retryAt } from "../live";
import { Icon } from "../parts/icon";
import { isPaletteOpen } from "../parts/palette";
import { Spark } from "../parts/spark";
import { nextTheme, theme } from "../preferences";
import { t } from "../text";
import { figure, now } from "../time";
import { traffic, watchTraffic } from "../traffic";
import { param, setParams } from "../url";
import { UserMenu } from "./user-menu";

export function Strip() {
  useEffect(watchTraffic, []);
  const last = traffic.value.at(-1);
  const isFresh = last !== undefined && liveState.value === "live" && !paused.value;
  const shown = (value: number | undefined): string => (isFresh && value !== undefined ? figure(value) : "–");
  return <header class="strip">
    <span class="state"><State /></span>
    <Spark values={traffic.value.map((one) => one.sent)} />
    <span class="rates"><span>{t("strip.in")} <b>{shown(last?.received)}</b></span><span>{t("strip.out")} <b>{shown(last?.sent)}</b></span>
      <span>{t("strip.lost")} <b class={isFresh && last.dropped > 0 ? "bad" : undefined}>{shown(last?.dropped)}</b></span>
      <span class="quiet">{t("strip.per-second")}</span></span>
    <span class="spread" />
    {isCluster.value && <label>{t("strip.node")} <select value={param("node")} onChange={(event) =>
      setParams({ node: event.currentTarget.value, page: "" }, { step: true })}>
      <option value="">{t("strip.all", { n: nodes.value.length })}</option>
      {nodes.value.map((node) => <option key={node} value={node}>{silent.value.has(node) ? t("strip.silent", { node }) : node}</option>)}</select></label>}
    <button class="plain" aria-pressed={paused.value} title={t("strip.pause")} aria-label={t("strip.pause")}
      onClick={() => (paused.value = !paused.value)}><Icon name={paused.value ? "play" : "pause"} /></button>
    <button class="plain" title={t("strip.theme", { theme: t(`theme.${theme.value}`) })} aria-label={t("strip.theme", { theme: t(`theme.${theme.value}`) })}
      onClick={nextTheme}><Icon name={theme.value} /></button>
    <button onClick={() => (isPaletteOpen.value = true)}><Icon name="search" /> {t("strip.search")} <span class="quiet">Ctrl K</span></button>
    <UserMenu />
  </header>;
}

function State() {
  if (paused.value) return <span class="warn">‖ {t("live.paused")}</span>;
  if (liveState.value === "live") return <span class="good">● {t("live.live")}</span>;
  if (liveState.value === "lost")
    return <span class="bad">▲ {t("live.lost")} {t("live.retry", { s: Math.max(0, Math.round(retryAt.value / 1000 - now.value)) })}</span>;
  return <span class="quiet">○ {t("live.asking")}</span>;
}
