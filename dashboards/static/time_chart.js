// One chart over time for the working pages: lines, bars by index level, marks; its words and its table beside it.
import { echarts } from "nicegui-echart";
import { markRaw } from "vue";
import { store } from "/assets/store.js";
import { clock, day, plural, stamp } from "/assets/words.js";

const DASHES = ["solid", [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [12, 5], [1, 4], [6, 2, 2, 2]]; // lines differ in black and white, too
const TABLE_ROWS_MAX = 240;
const LEVELS = 6;

const escape = (text) => String(text).replace(/[&<>"']/g, (x) => `&#${x.charCodeAt(0)};`);

// Canvas needs real colours: let the browser resolve the page's custom properties for this colour scheme.
function palette(host) {
  const probe = host.appendChild(document.createElement("span"));
  const read = (name) => ((probe.style.color = `var(--${name})`), getComputedStyle(probe).color);
  const names = ["text", "muted", "rule", "gap", "warn", "surface", "line-raw", "level-edge"];
  const ink = Object.fromEntries(names.map((n) => [n, read(n)]));
  ink.line = [...DASHES.keys()].map((i) => read(`line-${i + 1}`));
  ink.level = Array.from({ length: LEVELS + 1 }, (_, i) => read(`level-${i}`));
  probe.remove();
  return ink;
}

// -> [[time, value]] with null where the line must break, and the stretches without data.
export function broken(line, spec) {
  const points = [], gaps = [];
  const gap = (from, to) => { if (to - from > spec.gap_ms) gaps.push([from, to]); };
  // Before the sensor was there nothing is missing; what it kept from before it was declared counts all the same.
  let seen = Math.max(spec.from, Math.min(spec.born ?? spec.from, line.t[0] ?? Infinity));
  line.t.forEach((t, i) => {
    if (line.v[i] === null) return;
    if (t - seen > spec.gap_ms && points.length) points.push([seen + 1, null]);
    gap(seen, t);
    points.push([t, line.v[i]]);
    seen = t;
  });
  gap(seen, spec.to);
  return { points, gaps };
}

const inkOf = (line, i, ink) => (line.raw ? ink["line-raw"] : ink.line[i % ink.line.length]);
const dashOf = (line, i) => (line.raw ? DASHES[2] : DASHES[i % DASHES.length]);

function lineSeries(spec, ink) {
  const gaps = spec.lines.length === 1 ? broken(spec.lines[0], spec).gaps : [];
  return spec.lines.flatMap((line, i) => {
    const colour = inkOf(line, i, ink);
    const flagged = line.t.map((t, k) => (line.flag?.[k] && line.v[k] !== null ? [t, line.v[k]] : null)).filter(Boolean);
    return [
      {
        id: `line-${line.id}`, name: line.name, type: "line", data: broken(line, spec).points, showSymbol: line.t.length < 2, symbol: "circle", symbolSize: 5,
        connectNulls: false, z: line.raw ? 2 : 3, lineStyle: { width: line.raw ? 1.3 : 1.7, color: colour, type: dashOf(line, i) }, itemStyle: { color: colour }, emphasis: { disabled: true },
        markArea: i === 0 ? { silent: true, itemStyle: { color: ink.gap }, data: gaps.map(([a, b]) => [{ xAxis: a }, { xAxis: b }]) } : undefined,
        markLine: i === 0 ? marks(spec, ink) : undefined,
      },
      { id: `flag-${line.id}`, name: "flagged", type: "scatter", data: flagged, z: 4, symbol: "diamond", symbolSize: 9, itemStyle: { color: ink.surface, borderColor: ink.warn, borderWidth: 2 }, tooltip: { show: false }, silent: true },
    ];
  });
}

// When a line's lamppost first saw an episode: a vertical line of the same colour and dash, with a point on top.
const marks = (spec, ink) => ({
  silent: true, symbol: ["none", "triangle"], symbolSize: 9, symbolRotate: 180, animation: false, label: { show: false },
  data: (spec.marks ?? []).map((m) => ({ xAxis: m.t, lineStyle: { color: ink.line[m.line % ink.line.length], type: DASHES[m.line % DASHES.length], width: 1.2 } })),
});

// Index values as bars from their instant to the next; a bar's level tells its colour.
const bars = (spec, ink) => ({
  id: "bars", name: spec.title, type: "custom", z: 2, encode: { x: [0, 1], y: 2 },
  data: spec.bars.map((b) => [b.t, b.to, b.v, b.level]),
  renderItem: (params, api) => {
    const from = api.coord([api.value(0), 0]), to = api.coord([api.value(1), api.value(2)]);
    const box = echarts.graphic.clipRectByRect(
      { x: from[0], y: to[1], width: Math.max(1, to[0] - from[0] - 1), height: Math.max(1, from[1] - to[1]) },
      { x: params.coordSys.x, y: params.coordSys.y, width: params.coordSys.width, height: params.coordSys.height });
    return box && { type: "rect", shape: box, style: { fill: ink.level[api.value(3)] ?? ink.muted, stroke: ink["level-edge"], lineWidth: 1 } };
  },
});

function tooltip(spec) {
  return (found) => {
    const rows = found.filter((m) => m.seriesId.startsWith("line-") && m.value[1] !== null);
    const at = rows[0]?.value[0] ?? found[0]?.value?.[0];
    if (at === undefined) return "";
    const told = rows.map((m) => `${m.marker}${escape(m.seriesName)} <strong>${m.value[1].toFixed(spec.decimals)}</strong> ${escape(spec.unit)}`);
    const bar = spec.bars?.find((b) => b.t <= at && at < b.to);
    if (bar) told.push(`<strong>${bar.v}</strong> ${escape(bar.name)}${bar.note ? `<br>${escape(bar.note)}` : ""}`);
    return [`${day(at)} ${clock(at)}`, ...told].join("<br>");
  };
}

function options(spec, host) {
  const ink = palette(host);
  return {
    animation: false,
    textStyle: { fontFamily: getComputedStyle(host).fontFamily, color: ink.text },
    grid: { left: 8, right: 14, top: spec.marks?.length ? 18 : 12, bottom: 6, containLabel: true },
    xAxis: {
      type: "time", min: spec.from, max: spec.to,
      axisLine: { lineStyle: { color: ink.rule } }, axisTick: { lineStyle: { color: ink.rule } }, splitLine: { show: false },
      axisLabel: { color: ink.muted, hideOverlap: true, formatter: { year: "{yyyy}", month: "{MM}-{dd}", day: "{MM}-{dd}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}" } },
    },
    yAxis: { type: "value", minInterval: spec.bars ? 1 : undefined, scale: !spec.zero, min: spec.zero ? (e) => Math.min(0, e.min) : undefined, axisLabel: { color: ink.muted }, splitLine: { lineStyle: { color: ink.rule } } },
    tooltip: {
      trigger: "axis", confine: true, backgroundColor: ink.surface, borderColor: ink.rule, textStyle: { color: ink.text, fontSize: 13 },
      axisPointer: { lineStyle: { color: ink.muted } }, formatter: tooltip(spec),
    },
    series: [...(spec.bars ? [bars(spec, ink)] : []), ...lineSeries(spec, ink)],
  };
}

const extremes = (values) => [Math.min(...values), Math.max(...values)];

function told(spec) {
  const parts = spec.lines.map((line) => {
    const values = line.v.filter((v) => v !== null);
    if (!values.length) return `${line.name}: nothing`;
    const [low, high] = extremes(values);
    const n = (v) => v.toFixed(spec.decimals);
    return `${line.name}: latest ${n(values.at(-1))} ${spec.unit}, lowest ${n(low)}, highest ${n(high)}`;
  });
  if (spec.bars?.length) {
    const [low, high] = extremes(spec.bars.map((b) => b.v));
    parts.push(`latest ${spec.bars.at(-1).v} ${spec.bars.at(-1).name}, lowest ${low}, highest ${high}`);
  }
  return `${spec.title}, ${stamp(spec.from)} to ${stamp(spec.to)}. ${parts.join(". ") || "Nothing in this range"}`;
}

// Rows of the table: every instant, or every n-th where there are too many to read.
function tableOf(spec) {
  const at = new Map();
  spec.lines.forEach((line, i) => line.t.forEach((t, k) => {
    if (!at.has(t)) at.set(t, Array(spec.lines.length).fill("–"));
    if (line.v[k] !== null) at.get(t)[i] = line.v[k].toFixed(spec.decimals) + (line.flag?.[k] ? ` (${line.flag[k]})` : "");
  }));
  for (const b of spec.bars ?? []) at.set(b.t, [String(b.v), b.name, b.note ?? ""]);
  const rows = [...at].sort((a, b) => b[0] - a[0]);
  const every = Math.ceil(rows.length / TABLE_ROWS_MAX);
  return { every, heads: spec.bars ? ["Value", "Band", "From"] : spec.lines.map((l) => `${l.name}${spec.unit ? ` (${spec.unit})` : ""}`), rows: rows.filter((_, i) => i % every === 0) };
}

export const TimeChart = {
  props: { spec: Object, name: String, tall: Boolean, low: Boolean, empty: { type: String, default: "Nothing in this range." } },
  template: `
    <div class="time-chart">
      <div class="canvas-box" :class="{ nothing: spec && !something }"><div ref="canvas" class="canvas" :class="{ tall, low }" role="img" :aria-label="words"></div>
        <p v-if="!spec" class="over">Reading.</p><p v-else-if="!something" class="over">{{ empty }}</p></div>
      <ul v-if="spec && something && spec.lines.length > 1" class="keys-of-lines"><li v-for="(l, i) in spec.lines" :key="l.id"><svg width="26" height="8" aria-hidden="true"><line x1="0" y1="4" x2="26" y2="4" stroke-width="2" :stroke="l.raw ? 'var(--line-raw)' : 'var(--line-' + (i % 8 + 1) + ')'" :stroke-dasharray="dash(l, i)"/></svg><a v-if="l.href" :href="l.href">{{ l.name }}</a><template v-else>{{ l.name }}</template></li></ul>
      <p v-if="spec && spec.lines.length === 1 && something" class="legend"><span><i class="key-line"></i>{{ spec.title }}, {{ spec.unit }}: {{ spec.step ? 'mean of each ' + spec.step : 'every sample' }}</span><span><i class="key-gap"></i>{{ gaps ? plural(gaps, 'gap') + ' without data' : 'no gap' }}</span><span><i class="key-flag"></i>{{ flagged ? plural(flagged, 'flagged point') : 'no point flagged' }}</span></p>
      <details v-if="spec && something" class="as-table" @toggle="open = $event.target.open"><summary>As a table</summary>
        <div v-if="open" class="scroll" tabindex="0" role="region" :aria-label="(name || spec.title) + ' as a table'">
          <p v-if="table.every > 1" class="muted">One row in {{ table.every }} is shown.</p>
          <table><thead><tr><th scope="col">Time</th><th v-for="h in table.heads" :key="h" scope="col" class="right">{{ h }}</th></tr></thead>
            <tbody><tr v-for="[t, cells] in table.rows" :key="t"><td class="num">{{ stamp(t) }}</td><td v-for="(c, i) in cells" :key="i" class="right num">{{ c }}</td></tr></tbody></table></div></details>
    </div>`,
  data: () => ({ s: store, open: false, dark: matchMedia("(prefers-color-scheme: dark)") }),
  computed: {
    words() { return this.spec ? told(this.spec) : "Chart, nothing drawn yet"; },
    something() { return this.spec && (this.spec.bars?.length || this.spec.lines.some((l) => l.v.some((v) => v !== null))); },
    gaps() { return broken(this.spec.lines[0], this.spec).gaps.length; },
    flagged() { return this.spec.lines[0].flag?.filter(Boolean).length ?? 0; },
    table() { return tableOf(this.spec); },
  },
  watch: {
    spec() { this.draw(); },
    "s.theme"() { this.$nextTick(this.draw); },
  },
  methods: {
    stamp, plural,
    dash: (line, i) => { const d = dashOf(line, i); return Array.isArray(d) ? d.join(" ") : null; },
    draw() {
      if (!this.chart) return;
      if (!this.spec) return this.chart.clear();
      const spec = this.something ? this.spec : { ...this.spec, lines: [], marks: [] };
      this.chart.setOption(options(spec, this.$refs.canvas), { notMerge: true });
    },
  },
  mounted() {
    this.chart = markRaw(echarts.init(this.$refs.canvas, null, { renderer: "canvas" }));
    this.$refs.canvas.chart = this.chart; // for tests: what is drawn
    this.resizes = new ResizeObserver(() => this.chart.resize());
    this.resizes.observe(this.$refs.canvas);
    this.dark.addEventListener("change", this.draw);
    this.draw();
  },
  beforeUnmount() {
    this.resizes.disconnect();
    this.dark.removeEventListener("change", this.draw);
    this.chart.dispose();
  },
};
