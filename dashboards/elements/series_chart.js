import { echarts } from "nicegui-echart";
import { markRaw } from "vue";
import { store } from "/assets/store.js";
import { chartOptions, columnsToSeries } from "/assets/chart.js";
import { age, plural } from "/assets/words.js";

export default {
  template: `
    <section v-show="s.picked !== null" class="panel chart" aria-labelledby="chart-title">
      <div class="panel-head">
        <h2 id="chart-title">{{ c ? c.title : 'Chart' }} <span class="unit muted">{{ c ? c.unit : '' }}</span></h2>
        <label v-if="channels.length" class="field"><span class="label">Channel</span>
          <select :value="s.channel" @change="$emit('channel', Number($event.target.value))">
            <optgroup v-for="g in groups" :key="g.label" :label="g.label"><option v-for="o in g.options" :key="o.id" :value="o.id">{{ o.title }}</option></optgroup>
          </select></label>
        <fieldset class="ranges"><legend class="sr">Range</legend>
          <label v-for="r in s.ranges" :key="r.key"><input type="radio" name="range" :value="r.key" :checked="r.key === s.range" @change="$emit('range', r.key)"><span>{{ r.label }}</span></label>
        </fieldset>
      </div>
      <div class="canvas-box">
        <div ref="canvas" class="canvas" role="img" :aria-label="told"></div>
        <p v-if="c && !points" class="over">No sample in this range.</p>
        <p v-else-if="!c && s.detail && !channels.length" class="over">No sensor declared yet: nothing to draw.</p>
        <p v-else-if="!c" class="over">Reading the series.</p>
      </div>
      <p v-if="c" class="legend"><span><i class="key-line"></i>{{ c.rollup ? 'mean of each ' + c.step : 'every sample' }}</span><span v-if="c.rollup"><i class="key-band"></i>lowest to highest</span><span><i class="key-gap"></i>{{ shape.gaps.length ? plural(shape.gaps.length, 'gap') + ' without data' : 'no gap' }}</span><span><i class="key-flag"></i>{{ flagged ? plural(flagged, 'flagged point') : 'no point flagged' }}</span></p>
    </section>`,
  data: () => ({ s: store, chart: null, dark: matchMedia("(prefers-color-scheme: dark)") }),
  computed: {
    c() { return this.s.chart?.lamppost === this.s.picked ? this.s.chart : null; },
    channels() { return this.s.detail?.id === this.s.picked ? this.s.detail.channels : []; },
    groups() {
      const groups = new Map();
      for (const o of this.channels) groups.set(o.group, [...(groups.get(o.group) ?? []), o]);
      return [...groups].map(([label, options]) => ({ label, options }));
    },
    shape() { return this.c ? columnsToSeries(this.c) : { gaps: [] }; },
    points() { return this.c?.t.length ?? 0; },
    flagged() { return this.c?.flag.filter(Boolean).length ?? 0; },
    told() {
      if (!this.c) return "Chart, nothing drawn yet";
      const values = this.c.v.filter((v) => v !== null);
      if (!values.length) return `${this.c.title}: no sample in this range`;
      const d = this.c.decimals;
      const last = this.c.v.findLast((v) => v !== null);
      return `${this.c.title} over the last ${this.s.range}: latest ${last.toFixed(d)} ${this.c.unit}, lowest ${Math.min(...values).toFixed(d)}, highest ${Math.max(...values).toFixed(d)}, ${plural(this.shape.gaps.length, "gap")}, ${plural(this.flagged, "flagged point")}`;
    },
  },
  watch: {
    shape() { this.draw(); },
    "s.theme"() { this.$nextTick(this.draw); },
  },
  methods: {
    age, plural,
    draw() {
      if (!this.chart) return;
      if (!this.c) return this.chart.clear();
      this.chart.setOption(chartOptions(this.c, this.shape, this.$refs.canvas), { notMerge: this.drawn !== this.c.key });
      this.drawn = this.c.key;
    },
  },
  mounted() {
    this.chart = markRaw(echarts.init(this.$refs.canvas, null, { renderer: "canvas" }));
    window.lamppost.chart = this.chart;
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
