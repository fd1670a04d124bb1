/** Who may connect over MQTT by a password: the broker's own tables of user names, client ids and SCRAM users. */
import { useSignal } from "@preact/signals";
import { del, get, post, put, seg } from "../api";
import { batch } from "../parts/confirm";
import { Filters } from "../parts/filters";
import { CheckField, FormDialog, TextField } from "../parts/form-dialog";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may } from "../session";
import { t, type Key } from "../text";
import { href, param, setParams } from "../url";
import { pluginRows } from "./plugins";

interface Of { path: string; member: string; name: Key; plugin?: string }
const TABLES: Readonly<Record<string, Of>> = {
  username: { path: "auth_username", member: "username", name: "credentials.username", plugin: "emqx_auth_username" },
  clientid: { path: "auth_clientid", member: "clientid", name: "credentials.clientid", plugin: "emqx_auth_clientid" },
  scram: { path: "scram_users/", member: "username", name: "credentials.scram" },
};

interface Row { name: string; isSuper?: boolean }

export default function Credentials() {
  const kind = param("of") in TABLES ? param("of") : "username";
  return <>
    <Heading title={t("place.credentials")}>
      <div class="segments" role="group" aria-label={t("credentials.tables")}>{Object.entries(TABLES).map(([one, of]) =>
        <button key={one} aria-pressed={one === kind} onClick={() => setParams({ of: one, name: "" }, { step: true })}>{t(of.name)}</button>)}</div>
      <Filters filters={[{ name: "name", label: t("credentials.name") }]} />
    </Heading>
    <Names key={kind} of={TABLES[kind]!} />
  </>;
}

function Names({ of }: { of: Of }) {
  const open = useSignal<Row | "new" | null>(null), selected = useSignal<ReadonlySet<string>>(new Set());
  const wanted = param("name").toLowerCase();
  const asked = useAsk(of.path, async (signal): Promise<Row[] | null> => {
    if (of.plugin && !(await pluginRows(signal)).some((row) => row.name === of.plugin && row.active)) return null;
    const rows = await get<(string | Record<string, unknown>)[]>(of.path, {}, signal);
    return rows.map((row) => typeof row === "string" ? { name: row } : { name: String(row[of.member]), isSuper: row.is_superuser === true });
  }, { keep: true });
  const one = (name: string): string => `${of.path.replace(/\/$/, "")}/${seg(name)}`;
  const remove = (rows: readonly Row[]): void => void batch(rows, {
    title: rows.length === 1 ? t("credentials.delete-one", { name: rows[0]!.name }) : t("credentials.delete-title", { n: rows.length }),
    body: <p>{t("credentials.delete-body")}</p>, verb: t("credentials.delete"), danger: true,
    name: (row) => row.name, run: (row) => del(one(row.name)), done: t("credentials.deleted", { n: rows.length }),
  }).then(() => {
    selected.value = new Set();
    asked.again();
  });
  const columns: Column<Row>[] = [
    { id: "name", title: t(of.name), cell: (row) => <Id>{row.name}</Id> },
    ...(of.plugin ? [] : [{ id: "super", title: t("credentials.super"), cell: (row: Row) => row.isSuper ? t("credentials.yes") : <span class="quiet">–</span> }]),
    ...(may("administrator") ? [{ id: "acts", title: t("credentials.acts"), cell: (row: Row) => <span class="row">
      <button aria-label={`${t("credentials.set-password")} ${row.name}`} onClick={() => (open.value = row)}>{t("credentials.set-password")}</button>
      <button class="danger" aria-label={`${t("credentials.delete")} ${row.name}`} onClick={() => remove([row])}>{t("credentials.delete")}</button></span> }] : []),
  ];
  const close = (): void => void (open.value = null);
  const done = (text: string) => (): void => {
    toast(text);
    asked.again();
  };
  const row = open.value;
  const superOf = (given: (name: string) => string): object => of.plugin ? {} : { is_superuser: given("super") === "on" };
  return <>
    <States asked={asked} sheet isEmpty={(rows) => rows === null}
      empty={<>{t("credentials.not-loaded")} <a href={href("plugin", { name: of.plugin })}>{of.plugin}</a></>}>{(all) => {
      const rows = all!.filter((shown) => shown.name.toLowerCase().includes(wanted));
      const chosen = rows.filter((shown) => selected.value.has(shown.name));
      return <>
        {may("administrator") && <div class="row" style={{ marginBottom: "8px" }}>
          <button class="main" onClick={() => (open.value = "new")}>{t("credentials.add-title")}</button>
          {chosen.length > 0 && <button class="danger" onClick={() => remove(chosen)}>{t("credentials.delete-title", { n: chosen.length })}</button>}</div>}
        {rows.length ? <Table caption={t(of.name)} rows={rows} columns={columns} rowKey={(shown) => shown.name}
          selection={may("administrator") ? { keys: selected.value, change: (keys) => (selected.value = keys) } : undefined} />
          : <div class="sheet state-box">{t(all!.length ? "credentials.none" : "credentials.empty")}</div>}
      </>;
    }}</States>
    {row === "new" && <FormDialog title={t("credentials.add-title")} verb={t("credentials.add")} close={close} run={(given) =>
      post(of.path, { [of.member]: given("name"), password: given("password"), ...superOf(given) }).then(done(t("credentials.added", { name: given("name") })))}>
      <TextField name="name" label={t(of.name)} required />
      <TextField name="password" label={t("credentials.password")} type="password" required />
      {!of.plugin && <CheckField name="super" label={t("credentials.super")} on={false} />}
    </FormDialog>}
    {row && row !== "new" && <FormDialog title={t("credentials.password-of", { name: row.name })} verb={t("credentials.save")} close={close} run={(given) =>
      put(one(row.name), { password: given("password"), ...superOf(given) }).then(done(t("credentials.saved", { name: row.name })))}>
      <TextField name="password" label={t("credentials.password")} type="password" required />
      {!of.plugin && <CheckField name="super" label={t("credentials.super")} on={row.isSuper ?? false} />}
    </FormDialog>}
  </>;
}
