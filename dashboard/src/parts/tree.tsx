/** A tree with columns; a level is asked for when it is opened. ← → close and open, ↑ ↓ move, Enter chooses. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Failure } from "../api";
import { t } from "../text";
import { Icon } from "./icon";

export interface TreeNode<D> {
  id: string;
  name: ComponentChildren;
  opens: boolean;
  cells?: readonly ComponentChildren[];
  data: D;
}

export interface Level<D> {
  nodes: readonly TreeNode<D>[];
  /** Where the next piece of the level begins; null: this was the last. */
  after: string | null;
}

interface Props<D> {
  label: string;
  columns: readonly string[];
  /** Below `parent` (null: the roots), from `after` on (null: from the first). */
  load: (parent: TreeNode<D> | null, after: string | null) => Promise<Level<D>>;
  selected?: string;
  onSelect?: (node: TreeNode<D>) => void;
  /** Ids that are open at first. */
  open?: readonly string[];
  /** Everything is asked for anew when it changes. */
  version?: number;
}

type Known<D> = Level<D> & { failure?: string };
type Line<D> = { level: number; node: TreeNode<D>; position: number } | { level: number; parent: TreeNode<D> | null; known: Known<D> | undefined };

const ROOT = "\u0000root";

export function Tree<D>({ label, columns, load, selected, onSelect, open = [], version = 0 }: Props<D>) {
  const levels = useSignal<ReadonlyMap<string, Known<D>>>(new Map());
  const opened = useSignal<ReadonlySet<string>>(new Set(open));
  const focused = useSignal("");
  const body = useRef<HTMLTableSectionElement>(null);
  const generation = useRef(0);

  const fetchLevel = async (parent: TreeNode<D> | null, after: string | null): Promise<void> => {
    const id = parent?.id ?? ROOT, mine = generation.current;
    const before = after === null ? [] : levels.value.get(id)?.nodes ?? [];
    const found = await load(parent, after).then((level): Known<D> => ({ ...level, nodes: [...before, ...level.nodes] }),
      (error): Known<D> => {
        if (!(error instanceof Failure)) throw error;
        return { nodes: before, after, failure: error.message };
      });
    if (mine !== generation.current) return;
    levels.value = new Map(levels.value).set(id, found);
    for (const node of found.nodes) if (opened.value.has(node.id) && !levels.value.has(node.id)) void fetchLevel(node, null);
  };
  useEffect(() => {
    generation.current++;
    levels.value = new Map();
    void fetchLevel(null, null);
  }, [version]);

  const lines: Line<D>[] = [];
  const gather = (parent: TreeNode<D> | null, level: number): void => {
    const known = levels.value.get(parent?.id ?? ROOT);
    known?.nodes.forEach((node, index) => {
      lines.push({ level, node, position: index + 1 });
      if (node.opens && opened.value.has(node.id)) gather(node, level + 1);
    });
    if (!known || known.after !== null || known.failure) lines.push({ level, parent, known });
  };
  gather(null, 1);

  const toggle = (node: TreeNode<D>, wanted = !opened.value.has(node.id)): void => {
    const next = new Set(opened.value);
    if (wanted) next.add(node.id);
    else next.delete(node.id);
    opened.value = next;
    if (wanted && !levels.value.has(node.id)) void fetchLevel(node, null);
  };
  const focus = (index: number): void => {
    const line = lines[index];
    if (!line || !("node" in line)) return;
    focused.value = line.node.id;
    body.current?.querySelectorAll<HTMLElement>("[role=row]")[index]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const index = lines.findIndex((line) => "node" in line && line.node.id === focused.value);
    const line = lines[index];
    if (!line || !("node" in line)) return;
    const isOpen = opened.value.has(line.node.id);
    const act: Record<string, () => void> = {
      ArrowDown: () => focus(index + 1),
      ArrowUp: () => focus(index - 1),
      Home: () => focus(0),
      ArrowRight: () => (line.node.opens && !isOpen ? toggle(line.node, true) : focus(index + 1)),
      ArrowLeft: () => (isOpen ? toggle(line.node, false)
        : focus(lines.findLastIndex((one, at) => at < index && one.level < line.level))),
      Enter: () => onSelect?.(line.node),
    };
    const does = act[event.key];
    if (!does || event.target instanceof HTMLButtonElement) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  };
  const first = lines.find((line) => "node" in line);
  const entry = focused.value || (first && "node" in first ? first.node.id : "");
  return <table class="tree" role="treegrid" aria-label={label}>
    <thead><tr>{[label, ...columns].map((title, index) => <th scope="col" class={index ? "number" : undefined} key={title}>{title}</th>)}</tr></thead>
    <tbody ref={body} onKeyDown={onKeyDown}>
      {lines.map((line) => "node" in line
        ? <tr key={line.node.id} role="row" aria-level={line.level} aria-posinset={line.position} tabIndex={entry === line.node.id ? 0 : -1}
          aria-expanded={line.node.opens ? opened.value.has(line.node.id) : undefined} aria-selected={selected === line.node.id}
          onFocus={() => (focused.value = line.node.id)} onClick={() => onSelect?.(line.node)}>
          <td role="gridcell" style={{ paddingLeft: `${(line.level - 1) * 20}px` }}>
            <span class="twist" onClick={(event) => {
              event.stopPropagation();
              if (line.node.opens) toggle(line.node);
            }}>{line.node.opens && <Icon name={opened.value.has(line.node.id) ? "down" : "right"} />}</span>
            {line.node.name}
          </td>
          {columns.map((title, index) => <td role="gridcell" class="number" key={title}>{line.node.cells?.[index]}</td>)}
        </tr>
        : <tr key={`${line.parent?.id ?? ROOT}\u0000more`} role="row" aria-level={line.level}>
          <td role="gridcell" colSpan={columns.length + 1} style={{ paddingLeft: `${line.level * 20 + 4}px` }}>
            {line.known?.failure && <span class="bad">{line.known.failure} </span>}
            {line.known ? <button class="link" onClick={() => void fetchLevel(line.parent, line.known!.after)}>
              {t(line.known.failure ? "state.again" : "tree.more")}</button> : <span class="quiet">{t("state.asking")}</span>}
          </td>
        </tr>)}
    </tbody>
  </table>;
}
