/** A table of rows: only those in sight are in the document. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKey } from "../keys";
import { roomy } from "../preferences";
import { t } from "../text";

export interface Column<R> {
  id: string;
  title: string;
  cell: (row: R) => ComponentChildren;
  number?: boolean;
  /** The server's field, where it can sort by it. */
  sort?: string;
  /** Not shown unless someone chooses it. */
  spare?: boolean;
  /** On hover, where the cell is too narrow for it. */
  hint?: (row: R) => string;
}

export interface Selection {
  keys: ReadonlySet<string>;
  change: (keys: ReadonlySet<string>) => void;
}

interface Props<R> {
  /** What the rows are, for those who cannot see it. */
  caption: string;
  rows: readonly R[];
  columns: readonly Column<R>[];
  rowKey: (row: R) => string;
  /** "field" or "-field". */
  sort?: string;
  onSort?: (sort: string) => void;
  selection?: Selection;
  onOpen?: (row: R) => void;
  /** Of all rows and of the first one here, where these are a part. */
  count?: number;
  first?: number;
}

const WINDOWED_FROM = 60;
const SPARE = 10;

export function Table<R>({ caption, rows, columns, rowKey, sort, onSort, selection, onOpen, count, first = 0 }: Props<R>) {
  const box = useRef<HTMLDivElement>(null);
  const [scrolled, setScrolled] = useState({ top: 0, height: 800 });
  const [at, setAt] = useState(-1);
  const height = roomy.value ? 37 : 29;
  const windowed = rows.length > WINDOWED_FROM;
  const from = windowed ? Math.max(0, Math.floor(scrolled.top / height) - SPARE) : 0;
  const to = windowed ? Math.min(rows.length, Math.ceil((scrolled.top + scrolled.height) / height) + SPARE) : rows.length;

  useEffect(() => {
    const element = box.current!;
    let frame = 0;
    const look = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => setScrolled({ top: element.scrollTop, height: element.clientHeight }));
    };
    look();
    element.addEventListener("scroll", look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      cancelAnimationFrame(frame);
      element.removeEventListener("scroll", look);
      sizes.disconnect();
    };
  }, []);

  const move = (step: number): void => {
    const next = Math.min(rows.length - 1, Math.max(0, at + step));
    setAt(next);
    const element = box.current!;
    if (windowed) {
      if (next * height < element.scrollTop) element.scrollTop = next * height;
      if ((next + 2) * height > element.scrollTop + element.clientHeight)
        element.scrollTop = (next + 2) * height - element.clientHeight;
    } else element.querySelectorAll("tbody tr")[next]?.scrollIntoView({ block: "nearest" });
  };
  const toggle = (row: R): void => {
    const keys = new Set(selection!.keys);
    if (!keys.delete(rowKey(row))) keys.add(rowKey(row));
    selection!.change(keys);
  };
  useKey("j", () => move(1));
  useKey("k", () => move(-1));
  useKey("Enter", () => rows[at] !== undefined && onOpen?.(rows[at]));
  useKey("x", () => selection && rows[at] !== undefined && toggle(rows[at]));

  const all = selection !== undefined && rows.length > 0 && rows.every((row) => selection.keys.has(rowKey(row)));
  const span = columns.length + (selection ? 1 : 0);
  return <div class={`table ${windowed ? "windowed" : ""}`} ref={box} tabIndex={0} role="region" aria-label={caption}>
    <table aria-rowcount={(count ?? rows.length) + 1}>
      <caption class="hidden">{caption}</caption>
      <thead><tr aria-rowindex={1}>
        {selection && <th scope="col" class="check"><input type="checkbox" checked={all} aria-label={t("table.all")}
          onChange={() => selection.change(new Set(all ? [] : rows.map(rowKey)))} /></th>}
        {columns.map((column) => <Head key={column.id} column={column} sort={sort} onSort={onSort} />)}
      </tr></thead>
      <tbody>
        {from > 0 && <Filler height={from * height} span={span} />}
        {rows.slice(from, to).map((row, index) => <tr key={rowKey(row)} aria-rowindex={first + from + index + 2}
          class={from + index === at ? "at" : undefined} onClick={() => setAt(from + index)}>
          {selection && <td class="check"><input type="checkbox" checked={selection.keys.has(rowKey(row))}
            aria-label={t("table.select", { name: rowKey(row).slice(0, 200) })} onChange={() => toggle(row)} /></td>}
          {columns.map((column) => <td key={column.id} class={column.number ? "number" : undefined}
            title={column.hint?.(row)}>{column.cell(row)}</td>)}
        </tr>)}
        {to < rows.length && <Filler height={(rows.length - to) * height} span={span} />}
      </tbody>
    </table>
  </div>;
}

function Filler({ height, span }: { height: number; span: number }) {
  return <tr class="filler" aria-hidden="true"><td colSpan={span} style={{ height: `${height}px` }} /></tr>;
}

function Head<R>({ column, sort, onSort }: { column: Column<R>; sort?: string; onSort?: (sort: string) => void }) {
  const field = column.sort;
  const up = sort === field, down = sort === `-${field}`;
  const isSorted = field !== undefined && (up || down);
  return <th scope="col" class={column.number ? "number" : undefined}
    aria-sort={isSorted ? (up ? "ascending" : "descending") : undefined}>
    {field !== undefined && onSort
      ? <button onClick={() => onSort(down ? "" : up ? `-${field}` : field)}>{column.title}
        {isSorted ? <span aria-hidden="true">{up ? " ↑" : " ↓"}</span> : null}</button>
      : column.title}
  </th>;
}
