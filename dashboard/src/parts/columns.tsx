/** Which columns of a list are shown; the choice is kept in this browser. */
import { useState } from "preact/hooks";
import { stored } from "../preferences";
import { t } from "../text";
import { param, place } from "../url";
import type { Column } from "./table";

/** By list and column: whether it is shown, where someone chose other than the page. */
const choices = stored<Record<string, Record<string, boolean>>>("columns", {});

const listName = (): string => [place.value, param("tab")].filter(Boolean).join("/");

const isShown = <R,>(column: Column<R>): boolean => choices.value[listName()]?.[column.id] ?? !column.spare;

/** The first one names the row and is always there. */
export function shownOf<R>(columns: readonly Column<R>[]): readonly Column<R>[] {
  return columns.filter((column, index) => index === 0 || isShown(column));
}

export function ColumnChooser<R>({ columns }: { columns: readonly Column<R>[] }) {
  const [isOpen, open] = useState(false);
  const choose = (column: Column<R>, wanted: boolean): void => {
    const { [column.id]: _, ...others } = choices.value[listName()] ?? {};
    const own = wanted === !column.spare ? others : { ...others, [column.id]: wanted };
    const { [listName()]: __, ...lists } = choices.value;
    choices.value = Object.keys(own).length ? { ...lists, [listName()]: own } : lists;
  };
  return <details class="columns" onToggle={(event) => open(event.currentTarget.open)} onKeyDown={(event) => {
    if (event.key !== "Escape" || !event.currentTarget.open) return;
    event.currentTarget.open = false;
    event.currentTarget.querySelector("summary")!.focus();
  }}>
    <summary>{t("columns")}</summary>
    {isOpen && <fieldset class="row" aria-label={t("columns")}>{columns.slice(1).map((column) => <label key={column.id}>
      <input type="checkbox" checked={isShown(column)} onChange={(event) => choose(column, event.currentTarget.checked)} /> {column.title}</label>)}</fieldset>}
  </details>;
}
