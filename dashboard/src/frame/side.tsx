import { useEffect } from "preact/hooks";
import { ABOVE, GROUPS, PLACES, type Place } from "../places";
import { may } from "../session";
import { slowCount, standing, watchStanding } from "../standing";
import { number, t } from "../text";
import { href, place } from "../url";

export function Side() {
  useEffect(watchStanding, []);
  return <nav class="side" aria-label={t("frame.places")}>
    <div class="name">{t("frame.name")}</div>
    {GROUPS.map((group) => {
      const places = PLACES.filter((one) => one.group === group && (!one.role || may(one.role)));
      return <div key={group}><h2>{t(`group.${group}`)}</h2><ul>{places.map((one) => <Entry key={one.name} of={one} />)}</ul></div>;
    })}
  </nav>;
}

function Entry({ of: { name, title, link } }: { of: Place }) {
  const count = name === "alarms" ? standing.value.length : name === "slow" ? slowCount.value : 0;
  const isHere = (ABOVE[place.value] ?? place.value) === name;
  return <li><a href={link ?? href(name)} target={link && "_blank"} aria-current={isHere ? "page" : undefined}>{t(title)}
    {count > 0 && <span class="count">{number(count)}</span>}</a></li>;
}
