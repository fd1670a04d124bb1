/** Users of the dashboard, one's own password, and the log-ins of browsers. */
import { useSignal } from "@preact/signals";
import { del, get, post, put, seg } from "../api";
import type { LoginRow as Login } from "../api-types";
import { Age } from "../parts/age";
import { confirm } from "../parts/confirm";
import { ChoiceField, FormDialog, TextField } from "../parts/form-dialog";
import { Heading } from "../parts/heading";
import { States } from "../parts/states";
import { Table, type Column } from "../parts/table";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may, session, type Role } from "../session";
import { t } from "../text";
import { when } from "../time";

interface User { username: string; tags: string; role: Role }
type Open = { what: "new" } | { what: "own" } | { what: "edit"; user: User } | { what: "password"; user: User };

const ROLES: readonly Role[] = ["viewer", "operator", "administrator"];
export const roles = (): [string, string][] => ROLES.map((role) => [role, t(`role.${role}`)]);

function twice(given: (name: string) => string): string {
  if (given("password") !== given("again")) throw new Error(t("first.differs"));
  return given("password");
}

export default function Users() {
  const open = useSignal<Open | null>(null);
  const users = useAsk("users", (signal) => get<User[]>("users/", {}, signal), { keep: true });
  const logins = useAsk("logins", (signal) => get<Login[]>("logins/", {}, signal), { every: 30, keep: true });
  const close = (): void => void (open.value = null);
  const own = session.value?.username ?? "";
  const done = (text: string) => (): void => {
    toast(text);
    users.again();
    logins.again();
  };
  const remove = async (name: string): Promise<void> => {
    if (!await confirm({ title: t("users.delete-title", { name }), body: <p>{t("users.delete-body")}</p>, verb: t("users.delete"), danger: true })) return;
    await del(`users/${seg(name)}`).then(done(t("users.deleted", { name })), complain);
  };
  const end = async (login: Login): Promise<void> => {
    if (!await confirm({ title: t("users.end-title", { name: login.username }), verb: t("users.end"), danger: true,
      body: <p>{t(login.current ? "users.end-own" : "users.end-body", { address: login.address })}</p> })) return;
    await del(`logins/${login.id}`).then(done(t("users.ended")), complain);
  };
  const columns: Column<User>[] = [
    { id: "name", title: t("users.name"), cell: (row) => <><Id>{row.username}</Id>{row.username === own && <span class="quiet"> {t("users.you")}</span>}</> },
    { id: "role", title: t("users.role"), cell: (row) => t(`role.${row.role}`) },
    { id: "tags", title: t("users.tags"), cell: (row) => row.tags, hint: (row) => row.tags },
    { id: "logins", title: t("users.logins"), number: true, cell: (row) => may("administrator") || row.username === own
      ? logins.data?.filter((login) => login.username === row.username).length : "" },
    ...(may("administrator") ? [{ id: "acts", title: t("users.acts"), cell: (row: User) => <span class="row">
      <button aria-label={`${t("users.edit")} ${row.username}`} onClick={() => (open.value = { what: "edit", user: row })}>{t("users.edit")}</button>
      {row.username !== own && <button aria-label={`${t("users.set-password")} ${row.username}`}
        onClick={() => (open.value = { what: "password", user: row })}>{t("users.set-password")}</button>}
      {row.username !== "admin" && <button class="danger" aria-label={`${t("users.delete")} ${row.username}`} onClick={() => void remove(row.username)}>{t("users.delete")}</button>}
    </span> }] : []),
  ];
  const loginColumns: Column<Login>[] = [
    { id: "user", title: t("users.name"), cell: (row) => <><Id>{row.username}</Id>{row.current && <span class="quiet"> {t("users.here")}</span>}</> },
    { id: "since", title: t("users.since"), cell: (row) => when(row.since_ts) },
    { id: "seen", title: t("users.seen"), cell: (row) => <Age at={row.seen_ts} /> },
    { id: "address", title: t("users.address"), cell: (row) => <Id>{row.address}</Id> },
    { id: "browser", title: t("users.browser"), cell: (row) => <Id>{row.browser}</Id>, hint: (row) => row.browser },
    { id: "acts", title: t("users.acts"), cell: (row) => <button onClick={() => void end(row)}>{t("users.end")}</button> },
  ];
  return <>
    <Heading title={t("place.users")}>
      <span class="spread" />
      <button onClick={() => (open.value = { what: "own" })}>{t("users.own")}</button>
      {may("administrator") && <button class="main" onClick={() => (open.value = { what: "new" })}>{t("users.new")}</button>}
    </Heading>
    <div class="stack">
      <States asked={users}>{(rows) => <Table caption={t("place.users")} rows={rows} columns={columns} rowKey={(row) => row.username} />}</States>
      <section class="stack tight"><h2>{t("users.logins-of")}</h2>
        <States asked={logins}>{(rows) => <Table caption={t("users.logins-of")} rows={rows} columns={loginColumns} rowKey={(row) => String(row.id)} />}</States></section>
    </div>
    {open.value && <Forms open={open.value} own={own} close={close} done={done} />}
  </>;
}

function Forms({ open, own, close, done }: { open: Open; own: string; close: () => void; done: (text: string) => () => void }) {
  const passwords = <>
    <TextField name="password" label={t("users.password")} type="password" required />
    <TextField name="again" label={t("first.again")} type="password" required />
  </>;
  if (open.what === "own")
    return <FormDialog title={t("users.own")} verb={t("users.save")} close={close} run={async (given) =>
      put(`change_pwd/${seg(own)}`, { old_pwd: given("old"), new_pwd: twice(given) }).then(done(t("users.own-done")))}>
      <TextField name="old" label={t("users.old-password")} type="password" required />{passwords}
      <p class="label">{t("users.own-hint")}</p>
    </FormDialog>;
  if (open.what === "new")
    return <FormDialog title={t("users.new")} verb={t("users.add")} close={close} run={async (given) =>
      post("users/", { username: given("username"), password: twice(given), role: given("role"), tags: given("tags") })
        .then(done(t("users.added", { name: given("username") })))}>
      <TextField name="username" label={t("users.name")} required />{passwords}
      <ChoiceField name="role" label={t("users.role")} value="viewer" choices={roles()} />
      <TextField name="tags" label={t("users.tags")} />
    </FormDialog>;
  const { username, role, tags } = open.user;
  if (open.what === "password")
    return <FormDialog title={t("users.set-password-of", { name: username })} verb={t("users.save")} close={close} run={async (given) =>
      put(`users/${seg(username)}`, { password: twice(given) }).then(done(t("users.saved", { name: username })))}>
      {passwords}<p class="label">{t("users.password-hint")}</p>
    </FormDialog>;
  return <FormDialog title={t("users.edit-title", { name: username })} verb={t("users.save")} close={close} run={(given) =>
    put(`users/${seg(username)}`, { tags: given("tags"), ...(given("role") === role ? {} : { role: given("role") }) }).then(done(t("users.saved", { name: username })))}>
    <ChoiceField name="role" label={t("users.role")} value={role} choices={roles()} />
    <TextField name="tags" label={t("users.tags")} value={tags} />
    <p class="label">{t("users.role-hint")}</p>
  </FormDialog>;
}
