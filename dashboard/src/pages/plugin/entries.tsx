/** Settings whose keys have a `$word`: a table with a row for each number or name that stands for it. */
import { useSignal } from "@preact/signals";
import { useId } from "preact/hooks";
import { confirm } from "../../parts/confirm";
import type { SettingRow } from "../../parts/setting-fields";
import { complain, toast } from "../../parts/toast";
import { may } from "../../session";
import { t } from "../../text";

type Texts = Record<string, string>;
interface Props { templates: readonly SettingRow[]; given: Texts; save: (texts: Texts) => Promise<unknown> }

const WORD = /\$\w+/;

/** The templates that have the same beginning up to the word: each is a column. */
function groupsOf(templates: readonly SettingRow[]): Map<string, SettingRow[]> {
  const groups = new Map<string, SettingRow[]>();
  for (const row of templates) {
    const before = row.key.slice(0, row.key.search(WORD));
    groups.set(before, [...groups.get(before) ?? [], row]);
  }
  return groups;
}

/** What stands for the word in a key; null: it is no key of the template. */
export function wordIn(key: string, template: string): string | null {
  const [before = "", after = ""] = template.split(WORD);
  const word = key.startsWith(before) && key.endsWith(after) && key.length > before.length + after.length
    ? key.slice(before.length, key.length - after.length) : null;
  return word === null || word.includes(".") ? null : word;
}

export function Entries({ templates, given, save }: Props) {
  return <>{[...groupsOf(templates)].map(([before, columns]) =>
    <Group key={before} before={before} columns={columns} given={given} save={save} />)}</>;
}

function Group({ before, columns, given, save }: { before: string; columns: SettingRow[]; given: Texts; save: Props["save"] }) {
  const added = useSignal<Texts>({});
  const word = useSignal("");
  const said = useSignal("");
  const id = useId();
  const words = [...new Set(Object.keys(given).flatMap((key) => columns.flatMap((column) => wordIn(key, column.key) ?? [])))]
    .sort((one, other) => one.localeCompare(other, undefined, { numeric: true }));
  const keyOf = (column: SettingRow, of: string): string => column.key.replace(WORD, () => of);
  const next = String(Math.max(0, ...words.map(Number).filter(Number.isInteger)) + 1);
  const add = async (): Promise<void> => {
    const chosen = word.value || next;
    const texts = Object.fromEntries(columns.map((column) => [keyOf(column, chosen), added.value[column.key] ?? ""]));
    said.value = "";
    await save({ ...given, ...texts }).then(() => {
      added.value = {};
      word.value = "";
      toast(t("plugin.saved"));
    }, (error: Error) => (said.value = error.message));
  };
  const remove = async (of: string): Promise<void> => {
    if (!await confirm({ title: t("plugin.remove-title", { name: `${before}${of}` }), verb: t("plugin.remove"), danger: true,
      body: <p>{t("plugin.remove-body")}</p> })) return;
    const gone = new Set(columns.map((column) => keyOf(column, of)));
    await save(Object.fromEntries(Object.entries(given).filter(([key]) => !gone.has(key)))).then(() => toast(t("plugin.saved")), complain);
  };
  const last = (column: SettingRow): string => column.key.slice(column.key.search(WORD)).replace(WORD, "").replace(/^\./, "");
  return <section class="entries"><h3><code>{columns[0]!.key.slice(0, columns[0]!.key.search(WORD))}</code></h3>
    <p class="label">{columns[0]!.desc}</p>
    <form onSubmit={(event) => {
      event.preventDefault();
      void add();
    }}>
      <div class="table" tabIndex={0} role="region" aria-label={before}><table>
        <thead><tr><th scope="col">{WORD.exec(columns[0]!.key)![0]}</th>{columns.map((column) => <th scope="col" key={column.key}>{last(column)}</th>)}
          {may("administrator") && <th scope="col">{t("plugin.acts")}</th>}</tr></thead>
        <tbody>
          {words.map((one) => <tr key={one}><th scope="row"><code>{one}</code></th>
            {columns.map((column) => <td key={column.key}><code>{given[keyOf(column, one)] ?? "–"}</code></td>)}
            {may("administrator") && <td><button type="button" class="danger" aria-label={`${t("plugin.remove")} ${one}`}
              onClick={() => void remove(one)}>{t("plugin.remove")}</button></td>}</tr>)}
          {may("administrator") && <tr>
            <td><input class="mono" size={4} aria-label={WORD.exec(columns[0]!.key)![0]} placeholder={next} value={word.value}
              onInput={(event) => (word.value = event.currentTarget.value)} /></td>
            {columns.map((column) => <td key={column.key}><input class="mono" required aria-label={last(column)} aria-describedby={said.value ? id : undefined}
              type={(column.secret ? "password" : "text") as "text"} autoComplete={column.secret ? "new-password" : "off"} value={added.value[column.key] ?? ""}
              onInput={(event) => (added.value = { ...added.value, [column.key]: event.currentTarget.value })} /></td>)}
            <td><button>{t("plugin.add")}</button></td></tr>}
        </tbody></table></div>
      {said.value && <p class="bad" role="alert" id={id}>{said.value}</p>}
    </form></section>;
}
