/** One plugin: its state, and its settings as a form or as text. */
import { useSignal } from "@preact/signals";
import { get, put, seg } from "../api";
import { confirm } from "../parts/confirm";
import { SettingsForm } from "../parts/form";
import { Heading } from "../parts/heading";
import { fieldOf, type SettingRow } from "../parts/setting-fields";
import { States } from "../parts/states";
import { complain, toast } from "../parts/toast";
import { Id } from "../parts/topic";
import { useAsk } from "../refresh";
import { may, session } from "../session";
import { t } from "../text";
import { href, param } from "../url";
import { Entries, wordIn } from "./plugin/entries";
import { Acts, pluginRows, State } from "./plugins";

/** `required`: a value is given. */
type Row = SettingRow & { required: boolean };
type Texts = Record<string, string>;

export default function Plugin() {
  const name = param("name"), node = param("node") || session.value?.node || "";
  const asText = useSignal(false);
  const plugin = useAsk(`plugin ${node} ${name}`, async (signal) =>
    (await pluginRows(signal)).filter((row) => row.name === name && row.node === node), { every: 10, keep: true });
  const path = `nodes/${seg(node)}/plugin_configs/${seg(name)}`;
  const settings = useAsk(path, (signal) => get<Row[]>(path, {}, signal), { keep: true });
  const row = plugin.data?.[0];
  const done = (): void => {
    plugin.again();
    settings.again();
  };
  return <>
    <Heading title={<Id>{name}</Id>}>
      <a href={href("plugins")}>{t("plugin.all")}</a>
      {row && <><State row={row} /><span class="spread" /><Acts row={row} done={done} /></>}
    </Heading>
    {row && <p>{row.description} · {row.version} · <Id>{row.node}</Id></p>}
    <States asked={settings} sheet isEmpty={(rows) => rows.length === 0} empty={t("plugin.no-settings")}>{(rows) => {
      const given = Object.fromEntries(rows.filter((one) => one.required && one.source !== "environment").map((one) => [one.key, one.value]));
      const save = (texts: Texts): Promise<unknown> => put(path, texts).finally(settings.again);
      return <section class="sheet"><header><h2>{t("plugin.settings", { n: rows.length })}</h2><span class="spread" />
        <button aria-pressed={asText.value} onClick={() => (asText.value = !asText.value)}>{t("plugin.as-text")}</button></header>
      <div class="body">{asText.value
        ? <AsText rows={rows} given={given} save={save} />
        : <Form name={name} rows={rows} given={given} save={save} isActive={row?.active ?? false} />}</div></section>;
    }}</States>
  </>;
}

interface Props { rows: Row[]; given: Texts; save: (texts: Texts) => Promise<unknown> }

/** The whole set is sent: what was given before, and the changes. A refusal changes nothing. */
function Form({ name, rows, given, save, isActive }: Props & { name: string; isActive: boolean }) {
  const templates = rows.filter((row) => row.key.includes("$"));
  const isOfOne = (key: string): boolean => !templates.some((row) => wordIn(key, row.key) !== null);
  const fields = rows.filter((row) => isOfOne(row.key)).map(fieldOf);
  return <>
    <SettingsForm fields={fields} readOnly={!may("administrator")}
      effect={(field) => t(!isActive ? "plugin.effect-load" : field.hot ? "plugin.effect-now" : "plugin.effect-restart", { name })}
      save={async (changes) => {
        try {
          await save({ ...given, ...changes });
          toast(t("plugin.saved"));
          return {};
        } catch (error) {
          const said = (error as Error).message;
          const named = Object.keys(changes).filter((key) => said.includes(key));
          return Object.fromEntries(Object.keys(changes).map((key) =>
            [key, named.length === 0 || named.includes(key) ? said : t("plugin.not-saved", { name: named[0]! })]));
        }
      }}
      takeBack={(field) => save(Object.fromEntries(Object.entries(given).filter(([key]) => key !== field.key))).catch(complain)} />
    <Entries templates={templates} given={given} save={save} />
  </>;
}

function AsText({ given, save }: Props) {
  const written = Object.entries(given).map(([key, value]) => `${key} = ${value}`).join("\n");
  const text = useSignal(written), said = useSignal("");
  const submit = async (): Promise<void> => {
    const lines = text.value.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
    const bad = lines.find((line) => !line.includes("="));
    if (bad !== undefined) return void (said.value = t("plugin.bad-line", { line: bad }));
    const texts = Object.fromEntries(lines.map((line) => {
      const at = line.indexOf("=");
      return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
    }));
    if (!await confirm({ title: t("plugin.replace"), body: <p>{t("plugin.replace-body", { n: lines.length })}</p>, verb: t("plugin.save") })) return;
    said.value = "";
    await save(texts).then(() => toast(t("plugin.saved")), (error: Error) => (said.value = error.message));
  };
  return <>
    <textarea class="mono" rows={Math.min(24, Math.max(6, Object.keys(given).length + 2))} aria-label={t("plugin.text")} value={text.value} spellcheck={false}
      readOnly={!may("administrator")} onInput={(event) => (text.value = event.currentTarget.value)} />
    <p class="label">{t("plugin.text-hint")}</p>
    {said.value && <p class="bad" role="alert">{said.value}</p>}
    {may("administrator") && <button class="main" disabled={text.value === written} onClick={() => void submit()}>{t("plugin.save-all")}</button>}
  </>;
}
