/** Applications: who may use the API with an id and a secret, in which role, for which resources. */
import { useSignal } from "@preact/signals";
import { del, get, post, put, seg } from "../api";
import { confirm } from "../parts/confirm";
import { Copy } from "../parts/copy";
import { Dialog } from "../parts/dialog";
import { CheckField, ChoiceField, FormDialog, TextField } from "../parts/form-dialog";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may, type Role } from "../session";
import { t } from "../text";
import { absolute, now } from "../time";
import { roles } from "./users";

interface Listed { app_id: string; name: string; desc: string; status: boolean; expired: number | "undefined" }
interface App extends Listed { role: Role; scopes?: string[]; style?: string; names?: string }
type Open = { what: "new" } | { what: "edit" | "secret"; app: App };

const dateOf = (expired: number | "undefined"): string => expired === "undefined" ? "" : new Date(expired * 1000).toISOString().slice(0, 10);

export default function Apps() {
  const open = useSignal<Open | null>(null), secret = useSignal<{ id: string; secret: string } | null>(null);
  // The list lacks role and scopes.
  const asked = useAsk("apps", async (signal) => Promise.all((await get<Listed[]>("apps/", {}, signal)).map(async (one): Promise<App> =>
    ({ ...one, ...await get<Partial<App>>(`apps/${seg(one.app_id)}`, {}, signal) } as App))), { keep: true });
  const close = (): void => void (open.value = null);
  const done = (text: string) => (): void => {
    toast(text);
    asked.again();
  };
  const remove = async (id: string): Promise<void> => {
    if (!await confirm({ title: t("apps.delete-title", { id }), body: <p>{t("apps.delete-body")}</p>, verb: t("apps.delete"), danger: true })) return;
    await del(`apps/${seg(id)}`).then(done(t("apps.deleted", { id })), complain);
  };
  const columns: Column<App>[] = [
    { id: "id", title: t("apps.id"), cell: (row) => <Id>{row.app_id}</Id> },
    { id: "name", title: t("apps.name"), cell: (row) => row.name, hint: (row) => row.desc },
    { id: "role", title: t("apps.role"), cell: (row) => t(`role.${row.role ?? "administrator"}`) },
    { id: "scopes", title: t("apps.scopes"), cell: (row) => row.scopes ? <code>{row.scopes.join(", ") || t("apps.no-scope")}</code> : <span class="quiet">{t("apps.all")}</span>,
      hint: (row) => row.scopes?.join(", ") ?? "" },
    { id: "state", title: t("apps.state"), cell: (row) => !row.status ? <span class="quiet">○ {t("apps.off")}</span>
      : row.expired !== "undefined" && row.expired < now.value ? <span class="bad">○ {t("apps.expired")}</span> : <span class="good">● {t("apps.on")}</span> },
    { id: "expires", title: t("apps.expires"), cell: (row) => row.expired === "undefined" ? <span class="quiet">{t("apps.never")}</span> : absolute(row.expired) },
    ...(may("administrator") ? [{ id: "acts", title: t("apps.acts"), cell: (row: App) => <span class="row">
      <button aria-label={`${t("apps.edit")} ${row.app_id}`} onClick={() => (open.value = { what: "edit", app: row })}>{t("apps.edit")}</button>
      <button aria-label={`${t("apps.new-secret")} ${row.app_id}`} onClick={() => (open.value = { what: "secret", app: row })}>{t("apps.new-secret")}</button>
      <button class="danger" aria-label={`${t("apps.delete")} ${row.app_id}`} onClick={() => void remove(row.app_id)}>{t("apps.delete")}</button></span> }] : []),
  ];
  const show = (id: string) => (answer: { secret: string }): void => {
    secret.value = { id, secret: answer.secret };
    asked.again();
  };
  return <>
    <Heading title={t("place.apps")}><span class="spread" />
      {may("administrator") && <button class="main" onClick={() => (open.value = { what: "new" })}>{t("apps.new")}</button>}</Heading>
    <States asked={asked} sheet isEmpty={(rows) => rows.length === 0} empty={t("apps.empty")}>{(rows) =>
      <Table caption={t("place.apps")} rows={rows} columns={columns} rowKey={(row) => row.app_id} />}</States>
    {open.value && <Forms open={open.value} close={close} done={done} show={show} />}
    {secret.value && <Dialog title={t("apps.secret-of", { id: secret.value.id })} close={() => (secret.value = null)}>
      <p><code>{secret.value.secret}</code> <Copy text={secret.value.secret} /></p><p>{t("apps.secret-once")}</p>
      <div class="actions"><button class="main" onClick={() => (secret.value = null)}>{t("confirm.close")}</button></div></Dialog>}
  </>;
}

interface FormsProps { open: Open; close: () => void; done: (text: string) => () => void; show: (id: string) => (answer: { secret: string }) => void }

/** An update replaces everything but role and scopes: the style of answers goes along. */
function propertiesOf(given: (name: string) => string, before?: App): object {
  const scopes = given("scopes").split(/[\s,]+/).filter(Boolean);
  return {
    name: given("name"), desc: given("desc"), status: given("status") === "on", role: given("role"), scopes: scopes.length ? scopes : null,
    expired: given("expires") ? Date.parse(`${given("expires")}T00:00:00Z`) / 1000 : "undefined",
    ...(before?.style ? { style: before.style } : {}), ...(before?.names ? { names: before.names } : {}),
  };
}

function Forms({ open, close, done, show }: FormsProps) {
  const before = open.what === "new" ? undefined : open.app;
  const id = before?.app_id ?? "";
  if (open.what === "secret")
    return <FormDialog title={t("apps.secret-title", { id })} verb={t("apps.new-secret")} close={close} run={(given) =>
      post<{ secret: string }>(`apps/${seg(id)}/secret`, { overlap: Math.round(Number(given("hours")) * 3600) }).then(show(id))}>
      <TextField name="hours" label={t("apps.overlap")} type="number" value="0" hint={t("apps.overlap-hint")} />
    </FormDialog>;
  return <FormDialog title={before ? t("apps.edit-title", { id }) : t("apps.new")} verb={t(before ? "apps.save" : "apps.add")} close={close}
    run={(given) => before ? put(`apps/${seg(id)}`, propertiesOf(given, before)).then(done(t("apps.saved", { id })))
      : post<{ secret: string }>("apps/", { ...propertiesOf(given), app_id: given("id") }).then(show(given("id")))}>
    {!before && <TextField name="id" label={t("apps.id")} required />}
    <TextField name="name" label={t("apps.name")} value={before?.name} required />
    <TextField name="desc" label={t("apps.desc")} value={before?.desc} />
    <ChoiceField name="role" label={t("apps.role")} value={before?.role ?? (before ? "administrator" : "viewer")} choices={roles()} />
    <TextField name="scopes" label={t("apps.scopes")} value={before?.scopes?.join(", ")} hint={t("apps.scopes-hint")} />
    <TextField name="expires" label={t("apps.expires")} type="date" value={before && dateOf(before.expired)} hint={t("apps.expires-hint")} />
    <CheckField name="status" label={t("apps.on")} on={before?.status ?? true} />
  </FormDialog>;
}
