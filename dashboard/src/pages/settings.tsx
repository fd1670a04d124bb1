/** The broker's settings: those that change while it runs, and all that are in effect. */
import type { Setting as InEffect } from "../api-types";
import { failureOf, get, put, send, seg } from "../api";
import { Filters } from "../parts/filters";
import { SettingsForm, type Field } from "../parts/form";
import { Heading } from "../parts/heading";
import { fieldOf, type SettingRow } from "../parts/setting-fields";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may, session } from "../session";
import { t } from "../text";
import { href, param } from "../url";

type Row = SettingRow & { app: string };

const BROKER = "emqx";

export default function Settings() {
  const hot = useAsk(`configs ${param("node")}`, async (signal) => (await get<{ node: string; config: Row[] }[]>("configs/", {}, signal))
    .find((one) => one.node === (param("node") || session.value?.node))?.config ?? [], { keep: true });
  const all = useAsk("settings", (signal) => get<InEffect[]>("settings/", {}, signal), { keep: true });
  const wanted = param("key").toLowerCase(), origin = param("origin");
  const changed = (): void => {
    hot.again();
    all.again();
  };
  const save = async (changes: Record<string, string>): Promise<Record<string, string | null>> => {
    const said: Record<string, string | null> = {};
    for (const [key, value] of Object.entries(changes))
      said[key] = await put(param("node") ? `nodes/${seg(param("node"))}/configs/${BROKER}` : `configs/${BROKER}`, { key, value }).then(() => null, (error: Error) => error.message);
    const failed = Object.values(said).filter(Boolean).length;
    toast(t("settings.saved", { n: Object.keys(said).length - failed, all: Object.keys(said).length }), { bad: failed > 0 });
    changed();
    return said;
  };
  const takeBack = async (field: Field): Promise<void> => {
    const answer = await send("DELETE", `configs/${seg(BROKER)}`, { body: { key: field.key } });
    if (answer.ok) toast(t("settings.taken-back", { key: field.key }));
    else complain(await failureOf(answer));
    changed();
  };
  const columns: Column<InEffect>[] = [
    { id: "key", title: t("form.key"), cell: (row) => <Id>{row.key}</Id> },
    { id: "value", title: t("settings.value"), cell: (row) => row.value === "" ? <span class="quiet">–</span> : <Id>{row.value}</Id>, hint: (row) => row.value },
    { id: "origin", title: t("settings.origin"), cell: (row) => <span class={row.origin === "default" ? "quiet" : undefined}>{row.origin}</span>, hint: (row) => row.origin },
  ];
  return <>
    <Heading title={t("place.settings")}>
      <Filters filters={[{ name: "key", label: t("form.key") },
        { name: "origin", label: t("settings.origin"), choices: [["set", t("settings.not-default")], ["REST", t("settings.changed-here")]] }]} />
    </Heading>
    <div class="stack">
      <section class="sheet"><header><h2>{t("settings.hot")}</h2><a href={href("plugins")}>{t("settings.of-plugins")}</a></header><div class="body">
        <States asked={hot}>{(rows) => <SettingsForm readOnly={!may("administrator")} effect={() => t("settings.now")} save={save} takeBack={takeBack}
          fields={rows.filter((row) => row.app === BROKER && row.hot !== false && row.key.toLowerCase().includes(wanted)).map(fieldOf)} />}</States></div></section>
      <section class="stack tight"><h2>{t("settings.all")}</h2><p class="label">{t("settings.all-hint")}</p>
        <States asked={all}>{(rows) => {
          const shown = rows.filter((row) => row.key.toLowerCase().includes(wanted) && (!origin || (origin === "set" ? row.origin !== "default" : row.origin === origin)));
          return shown.length ? <Table caption={t("settings.all")} rows={shown} columns={columns} rowKey={(row) => row.key} />
            : <div class="sheet state-box">{t("settings.none")}</div>;
        }}</States></section>
    </div>
  </>;
}
