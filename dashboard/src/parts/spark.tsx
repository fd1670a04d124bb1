/** A line without axes. */
import type { SeriesColor } from "./chart";

export function Spark({ values, color = "out" }: { values: readonly number[]; color?: SeriesColor }) {
  const most = Math.max(1, ...values);
  const step = 100 / Math.max(1, values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(1)},${(27 - (value / most) * 25).toFixed(1)}`).join(" ");
  return <svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" aria-hidden="true">
    <polyline points={points} fill="none" stroke={`var(--series-${color})`} stroke-width="1.5" vector-effect="non-scaling-stroke" />
  </svg>;
}
