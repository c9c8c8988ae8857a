// From columns to an ECharts option. A gap is drawn as a gap: the line breaks and the time without data is shaded.
import { clock, day } from "/assets/words.js";

// -> {line, low, span, flagged, gaps}: [time, value] pairs, `null` where the line must break.
export function columnsToSeries(c) {
  const line = [], low = [], span = [], flagged = [], gaps = [];
  const gap = (from, to) => { if (to - from > c.gap_ms) gaps.push([from, to]); };
  let seen = c.from;
  c.t.forEach((t, i) => {
    const v = c.v[i];
    if (v === null) return; // the sensor gave nothing: time without data
    if (t - seen > c.gap_ms) {
      gap(seen, t);
      for (const column of [line, low, span]) column.push([seen + 1, null]);
    }
    line.push([t, v]);
    if (c.rollup) {
      low.push([t, c.lo[i]]);
      span.push([t, c.hi[i] - c.lo[i]]);
    }
    if (c.flag[i]) flagged.push({ value: [t, v], flag: c.flag[i] });
    seen = t;
  });
  gap(seen, c.to);
  return { line, low, span, flagged, gaps };
}

// Canvas needs real colours: let the browser resolve the page's custom properties for this colour scheme.
function palette(host) {
  const probe = host.appendChild(document.createElement("span"));
  const read = (name) => ((probe.style.color = `var(--${name})`), getComputedStyle(probe).color);
  const colours = Object.fromEntries(["text", "muted", "rule", "series", "band", "gap", "warn", "surface"].map((n) => [n, read(n)]));
  probe.remove();
  return colours;
}

const escape = (text) => String(text).replace(/[&<>"']/g, (x) => `&#${x.charCodeAt(0)};`);

export function chartOptions(c, shape, host) {
  const ink = palette(host);
  const font = getComputedStyle(host).fontFamily;
  const quiet = { symbol: "none", silent: true, stack: "band", lineStyle: { opacity: 0 }, connectNulls: false, tooltip: { show: false }, emphasis: { disabled: true } };
  return {
    animation: false,
    textStyle: { fontFamily: font, color: ink.text },
    grid: { left: 8, right: 12, top: 12, bottom: 6, containLabel: true },
    xAxis: {
      type: "time", min: c.from, max: c.to,
      axisLine: { lineStyle: { color: ink.rule } }, axisTick: { lineStyle: { color: ink.rule } }, splitLine: { show: false },
      axisLabel: { color: ink.muted, hideOverlap: true, formatter: { year: "{yyyy}", month: "{MM}-{dd}", day: "{MM}-{dd}", hour: "{HH}:{mm}", minute: "{HH}:{mm}", second: "{HH}:{mm}:{ss}" } },
    },
    yAxis: {
      type: "value", scale: c.from_zero === false, min: c.from_zero === false ? undefined : (e) => Math.min(0, e.min),
      axisLabel: { color: ink.muted }, splitLine: { lineStyle: { color: ink.rule } },
    },
    tooltip: {
      trigger: "axis", confine: true, backgroundColor: ink.surface, borderColor: ink.rule, textStyle: { color: ink.text, fontSize: 13 },
      axisPointer: { lineStyle: { color: ink.muted } },
      formatter: (marks) => {
        const at = marks.find((m) => m.seriesId === "line" && m.value[1] !== null);
        if (!at) return "";
        const i = c.t.indexOf(at.value[0]);
        const number = (v) => v.toFixed(c.decimals);
        const range = c.rollup ? `<br>${number(c.lo[i])} to ${number(c.hi[i])} within ${escape(c.step)}` : "";
        const flag = c.flag[i] ? `<br>flagged: ${escape(c.flag[i])}` : "";
        return `${day(at.value[0])} ${clock(at.value[0])}<br><strong>${number(at.value[1])}</strong> ${escape(c.unit)}${range}${flag}`;
      },
    },
    series: [
      { id: "low", type: "line", data: shape.low, ...quiet },
      { id: "span", type: "line", data: shape.span, ...quiet, areaStyle: { color: ink.band } },
      {
        id: "line", name: c.title, type: "line", data: shape.line, showSymbol: false, connectNulls: false, z: 3,
        symbol: "circle", symbolSize: 5, lineStyle: { width: 1.6, color: ink.series }, itemStyle: { color: ink.series },
        markArea: { silent: true, itemStyle: { color: ink.gap }, data: shape.gaps.map(([from, to]) => [{ xAxis: from }, { xAxis: to }]) },
      },
      { id: "flagged", name: "flagged", type: "scatter", data: shape.flagged, z: 4, symbol: "diamond", symbolSize: 10, itemStyle: { color: ink.surface, borderColor: ink.warn, borderWidth: 2 }, tooltip: { show: false } },
    ],
  };
}
