/** The plugins of each node: which run, and to load, unload and reload them. */
import { get, put, seg } from "../api";
import { confirm } from "../parts/confirm";
import { Filters } from "../parts/filters";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may } from "../session";
import { t } from "../text";
import { href, param } from "../url";

export interface PluginRow { node: string; name: string; version: string; description: string; active: boolean }
export type Verb = "load" | "unload" | "reload";

/** The plugins of all nodes, or of the node that is chosen. */
export async function pluginRows(signal: AbortSignal): Promise<PluginRow[]> {
  const node = param("node");
  const all = await get<{ node: string; plugins: Omit<PluginRow, "node">[] }[]>("plugins/", {}, signal);
  return all.filter((one) => !node || one.node === node).flatMap((one) => one.plugins.map((row) => ({ ...row, node: one.node })));
}

/** Unloading and reloading ask first. */
export async function act(verb: Verb, row: PluginRow, done: () => void): Promise<void> {
  const name = row.name;
  if (verb !== "load" && !await confirm({ title: t(`plugins.${verb}-title`, { name }), body: <p>{t(`plugins.${verb}-body`)}</p>,
    verb: t(`plugins.${verb}`), danger: verb === "unload" })) return;
  await put(`nodes/${seg(row.node)}/plugins/${seg(name)}/${verb}`).then(() => toast(t(`plugins.${verb}-done`, { name })), complain);
  done();
}

export function Acts({ row, done }: { row: PluginRow; done: () => void }) {
  if (!may("administrator")) return null;
  const button = (verb: Verb) => <button aria-label={t("plugins.act", { verb: t(`plugins.${verb}`), name: row.name })}
    onClick={() => void act(verb, row, done)}>{t(`plugins.${verb}`)}</button>;
  return <span class="row">{row.active ? <>{button("reload")}{button("unload")}</> : button("load")}</span>;
}

export const State = ({ row }: { row: PluginRow }) => row.active
  ? <span class="good">● {t("plugins.running")}</span> : <span class="quiet">○ {t("plugins.not-loaded")}</span>;

export default function Plugins() {
  const asked = useAsk(`plugins ${param("node")}`, pluginRows, { every: 10, keep: true });
  const wanted = param("name").toLowerCase(), state = param("state");
  const columns: Column<PluginRow>[] = [
    { id: "name", title: t("plugins.name"), cell: (row) => <a href={href("plugin", { name: row.name, node: row.node })}><Id>{row.name}</Id></a> },
    { id: "state", title: t("plugins.state"), cell: (row) => <State row={row} /> },
    { id: "description", title: t("plugins.description"), cell: (row) => row.description, hint: (row) => row.description },
    { id: "version", title: t("plugins.version"), cell: (row) => row.version },
    { id: "node", title: t("plugins.node"), cell: (row) => <Id>{row.node}</Id> },
    ...(may("administrator") ? [{ id: "acts", title: t("plugins.acts"), cell: (row: PluginRow) => <Acts row={row} done={asked.again} /> }] : []),
  ];
  return <>
    <Heading title={t("place.plugins")}>
      <Filters filters={[{ name: "name", label: t("plugins.name") },
        { name: "state", label: t("plugins.state"), choices: [["running", t("plugins.running")], ["not", t("plugins.not-loaded")]] }]} />
    </Heading>
    <States asked={asked}>{(rows) => {
      const shown = rows.filter((row) => `${row.name} ${row.description}`.toLowerCase().includes(wanted) && (!state || row.active === (state === "running")));
      return shown.length ? <Table caption={t("place.plugins")} rows={shown} columns={columns} rowKey={(row) => `${row.node} ${row.name}`} />
        : <div class="sheet state-box">{t("plugins.none")}</div>;
    }}</States>
  </>;
}
