import { remember, say, store } from "/assets/store.js";
import { MARKS, age, stamp } from "/assets/words.js";
import { TimeChart } from "/assets/time_chart.js";
import { When } from "/assets/parts.js";

const PERIODS = { "1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", own: "custom" };
// Wall time of this browser, as <input type=datetime-local> wants it.
const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60e3).toISOString().slice(0, 16);

export default {
  components: { TimeChart, When },
  template: `
    <div v-if="s.post && !s.post_missing" class="stacked">
      <section class="panel" aria-labelledby="channels-title">
        <div class="panel-head"><h2 id="channels-title">Channels</h2>
          <fieldset class="ranges periods"><legend class="sr">Time range of the charts</legend>
            <label v-for="(words, key) in periods" :key="key"><input type="radio" name="period" :value="key" :checked="key === shownPeriod" @change="choose(key)"><span>{{ words }}</span></label></fieldset></div>
        <form v-if="asking" class="own-time" @submit.prevent="own">
          <label class="stack"><span class="label">From</span><input type="datetime-local" v-model="from" required></label>
          <label class="stack"><span class="label">To</span><input type="datetime-local" v-model="to" required></label>
          <button type="submit" class="primary">Show</button><p v-if="problem" class="tone-bad" role="alert">{{ problem }}</p></form>
        <p v-if="s.period?.problem" class="note tone-warn" role="alert"><span v-html="marks.warning"></span>{{ s.period.problem }}</p>
        <p v-if="!channels.length" class="empty">The lamppost has declared no sensor yet: there is nothing to draw.</p>
        <template v-else>
          <TimeChart :spec="s.post_chart" :name="s.post_chart?.title" tall empty="No sample in this range." />
          <div class="scroll" tabindex="0" role="region" aria-labelledby="channels-title"><table class="channels">
            <thead><tr><th scope="col">Channel</th><th scope="col" class="right">Newest</th><th scope="col">Unit</th><th scope="col">Quality</th><th scope="col" class="right">Age</th></tr></thead>
            <tbody><tr v-for="c in channels" :key="c.series" :aria-current="c.series === s.post_series ? 'true' : null">
              <td><button type="button" class="link" :aria-pressed="c.series === s.post_series" @click="draw(c)">{{ c.title }}</button><span v-if="c.sensor" class="muted">&nbsp;{{ c.sensor }}</span></td>
              <td class="right num">{{ c.value }}</td><td class="unit">{{ c.unit }}</td>
              <td :class="c.flagged ? 'tone-warn' : ''"><span v-if="c.flagged" v-html="marks.warning"></span>{{ c.flag }}</td>
              <td class="right num" :title="stamp(c.time)">{{ c.time ? age(s.now - c.time) : '–' }}</td></tr></tbody></table></div>
        </template>
      </section>
      <section v-if="s.post_has_pm" class="panel" aria-labelledby="corrected-title">
        <div class="panel-head"><h2 id="corrected-title">PM2.5, raw against corrected <span class="unit">µg/m³</span></h2></div>
        <TimeChart :spec="s.post_corrected" name="Raw against corrected" empty="No PM2.5 that can be believed in this range." />
        <p v-for="c in s.post_corrected?.corrections ?? []" :key="c.id" class="facts-of-air">Applied: {{ c.words }} <code>{{ c.id }}</code></p>
      </section>
      <section v-if="s.post_has_pm" class="panel" aria-labelledby="index-title">
        <div class="panel-head"><h2 id="index-title">Index <span class="unit">{{ s.post_index?.index ?? '' }}</span></h2>
          <label class="field"><span class="label">Of</span><select :value="s.index_kind" @change="$emit('index', $event.target.value)"><option v-for="k in s.index_kinds" :key="k.key" :value="k.key">{{ k.title }}</option></select></label></div>
        <TimeChart :spec="s.post_index" name="Index" low empty="No index in this range: an hour needs most of its minutes." />
        <ul v-if="s.index_bands?.length" class="bands"><li v-for="b in s.index_bands" :key="b.level"><i :style="{ background: 'var(--level-' + b.level + ')' }"></i>{{ b.name }} <span class="muted num">{{ b.range }}</span></li></ul>
        <p v-if="s.post_index?.table" class="facts-of-air">By the table <code>{{ s.post_index.table }}</code></p>
      </section>
    </div>`,
  data: () => ({ s: store, marks: MARKS, periods: PERIODS, asking: false, from: "", to: "", problem: "" }),
  computed: {
    channels() { return this.s.post_channels ?? []; },
    shownPeriod() { return this.asking ? "own" : this.s.period?.key; },
  },
  watch: {
    "s.period": { handler() { this.fill(); this.keep(); } },
    "s.post_series"() { this.keep(); },
    "s.index_kind"() { this.keep(); },
  },
  methods: {
    age, stamp,
    fill() {
      if (this.s.period.key === "own") [this.asking, this.from, this.to] = [true, local(this.s.period.begins), local(this.s.period.ends)];
    },
    choose(key) {
      this.problem = "";
      this.asking = key === "own";
      if (key !== "own") return this.$emit("period", { key });
      if (!this.from) [this.from, this.to] = [local(this.s.now - 86400e3), local(this.s.now)];
    },
    own() {
      const [begins, ends] = [Date.parse(this.from), Date.parse(this.to)];
      if (!(ends > begins)) return (this.problem = "The end is not after the beginning.");
      if (ends - begins > 366 * 86400e3) return (this.problem = "A range is a year at the longest.");
      this.problem = "";
      this.$emit("period", { key: "own", begins, ends });
    },
    draw(c) {
      this.$emit("series", c.series);
      say(`${c.title} is drawn`);
    },
    keep() {
      const p = this.s.period;
      if (!p || p.problem) return;
      const time = p.key === "own" ? { from: new Date(p.begins).toISOString(), to: new Date(p.ends).toISOString() } : { range: p.key === "6h" ? "" : p.key };
      remember({ ...time, series: this.s.post_chosen ? this.s.post_series : "", index: this.s.index_kind === "us" ? "" : this.s.index_kind });
    },
  },
};
