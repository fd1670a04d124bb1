/** Lines over time. Charts of one page have their cursors and zoom together; a switch shows the figures as a table. */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { isDark, patterns, zone } from "../preferences";
import { language, number, t } from "../text";
import { clock, when } from "../time";
import { Icon } from "./icon";

export type SeriesColor = "in" | "out" | "lost" | "idle" | "clients";

export interface Series {
  label: string;
  color: SeriesColor;
  /** null: nobody knows, and the line has a gap. */
  values: readonly (number | null)[];
}

interface Props {
  title: string;
  /** Unix seconds, rising. */
  ts: readonly number[];
  series: readonly Series[];
  /** How a value is written; a number of the language without it. */
  write?: (value: number) => string;
  /** Spans that are marked along the upper edge. */
  marks?: readonly { from: number; to: number }[];
  /** What is zoomed to, and how that is changed; null: all. */
  zoom?: readonly [number, number] | null;
  onZoom?: (zoom: [number, number] | null) => void;
  height?: number;
  /** The lines of the grid stand at powers of two, for bytes. */
  binary?: boolean;
}

const DASHES: Record<SeriesColor, number[]> = { in: [], out: [8, 4], lost: [2, 3], idle: [10, 3, 2, 3], clients: [5, 5] };
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const cursors = uPlot.sync("charts");
const plain = (value: number): string => number(value, value < 10 ? 1 : 0);

export function Chart(props: Props) {
  const { title, ts, series, write = plain, height = 170 } = props;
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [asTable, setAsTable] = useState(false);
  const shape = series.map((one) => one.label + one.color).join();
  const dark = isDark(), dashed = patterns.value;

  useEffect(() => {
    if (asTable) return;
    const element = holder.current!;
    const options = optionsFor(latest, element.clientWidth, height, dashed);
    const made = new uPlot(options, dataOf(latest.current), element);
    plot.current = made;
    cursors.sub(made);
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    sizes.observe(element);
    return () => {
      sizes.disconnect();
      cursors.unsub(made);
      made.destroy();
      plot.current = null;
    };
  }, [shape, dark, dashed, asTable, height, language.value, zone.value]);

  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    made.setData(dataOf(latest.current), false);
    const [min, max] = props.zoom ?? [ts[0] ?? 0, ts.at(-1) ?? 1];
    made.setScale("x", { min, max });
  }, [ts, series, props.zoom, asTable, dark, dashed]);

  const last = (one: Series): string => {
    const value = one.values.at(-1);
    return value === null || value === undefined ? "–" : write(value);
  };
  return <figure class="chart" aria-label={`${title}: ${series.map((one) => `${one.label} ${last(one)}`).join(", ")}`}>
    <figcaption>
      <strong>{title}</strong>
      {series.map((one) => <span key={one.label}><Swatch color={one.color} />
        <span class="quiet">{one.label}</span> <span class="mono">{last(one)}</span></span>)}
      <button class="plain" aria-pressed={asTable} title={t(asTable ? "chart.lines" : "chart.table")}
        aria-label={t(asTable ? "chart.lines" : "chart.table")} onClick={() => setAsTable(!asTable)}>
        <Icon name={asTable ? "chart" : "table"} /></button>
    </figcaption>
    {asTable ? <AsTable {...props} write={write} /> : <div class="plot" ref={holder} aria-hidden="true" style={{ height: `${height}px` }} />}
  </figure>;
}

function Swatch({ color }: { color: SeriesColor }) {
  return <span class="swatch" style={{ background: `var(--series-${color})` }} />;
}

const ROWS = 60;

function AsTable({ title, ts, series, write = plain }: Props) {
  const step = Math.max(1, Math.ceil(ts.length / ROWS));
  const shown = ts.map((_, index) => index).filter((index) => (ts.length - 1 - index) % step === 0).reverse();
  return <div class="scroll table" tabIndex={0} role="region" aria-label={title}><table>
    <thead><tr><th scope="col">{t("chart.time")}</th>{series.map((one) => <th scope="col" class="number" key={one.label}>{one.label}</th>)}</tr></thead>
    <tbody>{shown.map((index) => <tr key={ts[index]}><td>{when(ts[index]!)}</td>
      {series.map((one) => <td class="number" key={one.label}>{one.values[index] == null ? "–" : write(one.values[index]!)}</td>)}</tr>)}
    </tbody>
  </table></div>;
}

function dataOf({ ts, series }: Props): uPlot.AlignedData {
  return [ts as number[], ...series.map((one) => one.values as (number | null)[])];
}

function optionsFor(latest: { current: Props }, width: number, height: number, dashed: boolean): uPlot.Options {
  const colors = getComputedStyle(document.documentElement);
  const token = (name: string): string => colors.getPropertyValue(`--${name}`);
  const axis = { stroke: token("ink-2"), font: "11px system-ui", grid: { stroke: token("line"), width: 1 }, ticks: { show: false } };
  const { series, write = plain } = latest.current;
  return {
    width, height,
    legend: { show: false },
    cursor: {
      sync: { key: cursors.key },
      drag: { x: true, y: false, setScale: false },
      points: { size: 6 },
      bind: { dblclick: () => () => (latest.current.onZoom?.(null), null) },
    },
    scales: { x: { time: true }, y: { range: (_, _min, max) => [0, Math.max(1, (max || 0) * 1.1)] } },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, splits) => splits.map((ts, index) =>
        (splits[1] ?? 0) - (splits[0] ?? 0) >= 60 && splits.length > 1 ? shortClock(ts, index, splits) : clock(ts)) },
      { ...axis, size: 56, space: 32, incrs: latest.current.binary ? POWERS : undefined, values: (_, splits) => splits.map((value) => write(value)) },
    ],
    series: [{}, ...series.map((one) => ({
      label: one.label, stroke: token(`series-${one.color}`), width: 1.5, dash: dashed ? DASHES[one.color] : undefined,
      points: { show: false }, spanGaps: false,
    }))],
    hooks: {
      setSelect: [(made) => {
        const { left, width: wide } = made.select;
        if (wide < 5) return;
        latest.current.onZoom?.([made.posToVal(left, "x"), made.posToVal(left + wide, "x")]);
        made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
      drawClear: [(made) => {
        made.ctx.fillStyle = token("warn");
        for (const { from, to } of latest.current.marks ?? []) {
          const left = Math.max(made.bbox.left, made.valToPos(from, "x", true));
          const right = Math.min(made.bbox.left + made.bbox.width, made.valToPos(to, "x", true));
          if (right > left) made.ctx.fillRect(left, made.bbox.top, Math.max(2, right - left), 3);
        }
      }],
    },
  };
}

function shortClock(ts: number, index: number, splits: number[]): string {
  const day = (at: number): number => new Date(at * 1000).getDate();
  return index === 0 || day(ts) === day(splits[index - 1]!) ? clock(ts).slice(0, 5)
    : new Intl.DateTimeFormat(language.value, { day: "numeric", month: "short" }).format(ts * 1000);
}
