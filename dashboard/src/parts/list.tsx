/** A paged list of the API: page, size, order and filters are in the address; the server sorts and filters. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { get, type Page, type Params } from "../api";
import { stored } from "../preferences";
import { useAsk, type Asked } from "../refresh";
import { number, t } from "../text";
import { param, setParams, view } from "../url";
import { Age } from "./age";
import { ColumnChooser, shownOf } from "./columns";
import { FailureLine, Skeleton } from "./states";
import { Table, type Column } from "./table";

const SIZES = [50, 100, 500];
const size = stored("rows", 100);

export interface List<R> {
  asked: Asked<Page<R>>;
  /** Whether something narrows the list; then it is asked for by hand only. */
  filtered: boolean;
}

/** `filters`: names of the view's members that are sent as they are. `every`: seconds while nothing narrows the list. */
export function useList<R>(path: string, { filters = [], params = {}, every = "hand", sort = "" }: {
  filters?: readonly string[];
  params?: Params;
  every?: number | "hand";
  sort?: string;
} = {}): List<R> {
  const asked = { ...params, _page: Number(param("page")) || 1, _limit: size.value, _sort: param("sort") || sort };
  const given = Object.fromEntries(filters.map((name) => [name, param(name)]).filter(([, value]) => value));
  const filtered = Object.keys(given).length > 0;
  const byHand = filtered || param("sort") !== "";
  const all = { ...asked, ...given };
  return { filtered, asked: useAsk(JSON.stringify([path, all]), (signal) => get<Page<R>>(path, all, signal),
    { every: byHand ? "hand" : every, keep: true }) };
}

interface Props<R> {
  list: List<R>;
  caption: string;
  columns: readonly Column<R>[];
  rowKey: (row: R) => string;
  empty: ComponentChildren;
  /** Where else to look, when the filters find nothing. */
  nothing?: ComponentChildren;
  onOpen?: (row: R) => void;
  /** Buttons for the rows that are selected; without it none can be. `clear` ends the selection. */
  actions?: (rows: R[], clear: () => void) => ComponentChildren;
}

function changesBetween<R>(before: readonly R[], after: readonly R[], rowKey: (row: R) => string): number {
  const old = new Map(before.map((row) => [rowKey(row), JSON.stringify(row)]));
  let count = 0;
  for (const row of after) {
    if (old.get(rowKey(row)) !== JSON.stringify(row)) count++;
    old.delete(rowKey(row));
  }
  return count + old.size;
}

export function ListOf<R>({ list: { asked, filtered }, caption, columns, rowKey, empty, nothing, onOpen, actions }: Props<R>) {
  const selected = useSignal<ReadonlySet<string>>(new Set());
  const held = useRef<Page<R> | undefined>(undefined);
  const resting = useSignal(false);
  const where = view.value.query.toString();
  useEffect(() => {
    selected.value = new Set();
    held.current = undefined;
  }, [where]);

  const fresh = asked.data;
  // Rows do not move under the pointer.
  const holds = held.current !== undefined && (selected.value.size > 0 || resting.value);
  if (!holds) held.current = fresh;
  const page = held.current ?? fresh;
  if (page === undefined) return asked.failure ? <FailureLine asked={asked} /> : <Skeleton lines={10} />;

  const clear = (): void => void (selected.value = new Set());
  const chosen = page.items.filter((row) => selected.value.has(rowKey(row)));
  const waiting = holds && fresh && fresh !== page ? changesBetween(page.items, fresh.items, rowKey) : 0;
  return <>
    <FailureLine asked={asked} />
    {page.items.length === 0
      ? <div class="sheet state-box">{filtered ? <><NothingFound /> {nothing}</> : empty}</div>
      : <Table caption={caption} rows={page.items} columns={shownOf(columns)} rowKey={rowKey} onOpen={onOpen}
        count={page.meta.count} first={(page.meta.page - 1) * page.meta.limit} sort={param("sort")}
        onSort={(sort) => setParams({ sort, page: "" }, { step: true })}
        selection={actions && { keys: selected.value, change: (keys) => (selected.value = keys) }} />}
    <div class="table-foot" onPointerEnter={() => (resting.value = true)} onPointerLeave={() => (resting.value = false)}>
      {actions && chosen.length > 0 && <div class="row">
        <span>{t("list.selected", { n: chosen.length })}</span>{actions(chosen, clear)}
        <button class="link" onClick={clear}>{t("list.clear")}</button>
      </div>}
      {waiting > 0 && <button class="link" onClick={() => {
        clear();
        held.current = fresh;
        resting.value = false;
      }}>{t("list.changes", { n: waiting })}</button>}
      <span class="spread" />
      <ColumnChooser columns={columns} />
      <Age at={asked.at} bad={asked.failure !== undefined} />
      <Paging page={page} />
    </div>
  </>;
}

function NothingFound() {
  const { query } = view.value;
  const given = [...query].filter(([name]) => !["page", "sort", "node"].includes(name)).map(([name, value]) => `${name} = ${value}`);
  return <>{t("list.nothing", { filter: given.join(", ") })}{" "}
    <button class="link" onClick={() =>
      setParams(Object.fromEntries([...query.keys()].filter((name) => name !== "node").map((name) => [name, ""])), { step: true })}>
      {t("list.drop")}</button></>;
}

function Paging({ page: { items, meta } }: { page: Page<unknown> }) {
  const pages = meta.count === undefined ? undefined : Math.max(1, Math.ceil(meta.count / meta.limit));
  const hasNext = pages === undefined ? meta.hasnext === true : meta.page < pages;
  const to = (page: number) => () => setParams({ page: page === 1 ? "" : page }, { step: true });
  return <div class="pages">
    <span>{meta.count === undefined ? number(items.length) : t("list.of", { n: items.length, all: meta.count })}</span>
    <label>{t("list.rows")} <select value={size.value} onChange={(event) => {
      size.value = Number(event.currentTarget.value);
      setParams({ page: "" });
    }}>{SIZES.map((one) => <option key={one} value={one}>{one}</option>)}</select></label>
    <button disabled={meta.page <= 1} onClick={to(meta.page - 1)} aria-label={t("list.before")}>←</button>
    <span>{pages === undefined ? number(meta.page) : t("list.page", { page: meta.page, pages })}</span>
    <button disabled={!hasNext} onClick={to(meta.page + 1)} aria-label={t("list.next")}>→</button>
  </div>;
}
