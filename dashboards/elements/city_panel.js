import { nextTick } from "vue";
import { store, remember, say } from "/assets/store.js";
import { shortcut } from "/assets/keys.js";
import { kindOf } from "/assets/city.js";
import { MARKS, age, clock, day, plural, presence, stamp, tone } from "/assets/words.js";

const HOURS = [["24h", "24 h", 24], ["48h", "48 h", 48], ["7d", "7 d", 168]];
const SHOWN = 3; // conditions; the lamppost's page has all
const WIDE = 300, HIGH = 64;

export default {
  template: `
    <section v-if="row" class="panel pick" aria-labelledby="panel-title" :style="inks">
      <div class="panel-head">
        <h2 id="panel-title" tabindex="-1">{{ row.name }}</h2>
        <button type="button" class="quiet close" title="Close (Esc)" @click="close"><span class="sr">Close {{ row.name }}</span><svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><path d="m2.5 2.5 9 9M11.5 2.5l-9 9" stroke="currentColor" stroke-width="1.7"/></svg></button>
      </div>
      <p class="muted where">{{ where }}</p>
      <div class="now">
        <p v-if="now" class="big"><span class="index num" :class="'l' + now[1]">{{ now[0] }}</span><span><strong>{{ kind.bands[now[1] - 1].name }}</strong><br><span class="muted">{{ kind.short }}, decided by {{ now[2] }}</span></span></p>
        <p v-else class="big"><span class="index l0">–</span><span><strong>No index yet</strong><br><span class="muted">it needs an hour of readings</span></span></p>
        <dl class="summary">
          <div><dt>PM2.5</dt><dd class="num">{{ row.value ?? '–' }} <span class="unit">{{ row.value ? row.unit : '' }}</span><span v-if="row.flag" class="tone-warn"> {{ row.flag }}</span></dd></div>
          <div><dt>Data</dt><dd :class="tone(row.fresh)"><span v-html="marks[row.fresh]"></span>{{ row.fresh === 'none' ? 'none yet' : row.fresh }}<span v-if="row.latest" class="muted num">&nbsp;{{ age(s.now - row.latest) }}</span></dd></div>
          <div><dt>Link</dt><dd :class="tone(row.presence)"><span v-html="marks[row.presence]"></span>{{ presence(row.presence) }}</dd></div>
        </dl>
      </div>
      <div v-if="now || course?.t.length" class="course">
        <fieldset class="ranges"><legend class="sr">Range of the small chart</legend>
          <label v-for="[key, words] in hours" :key="key"><input type="radio" name="hours" :value="key" :checked="key === s.hours" @change="choose(key)"><span>{{ words }}</span></label></fieldset>
        <p v-if="!course" class="muted">Reading the hours.</p>
        <svg v-else-if="bars.length" class="bars" :viewBox="'0 0 ' + W + ' ' + H" preserveAspectRatio="none" role="img" :aria-label="told"><rect v-for="b in bars" :key="b.x" :x="b.x" :y="b.y" :width="b.w" :height="b.h" :class="'l' + b.level"><title>{{ b.words }}</title></rect></svg>
        <p v-else class="muted">No hour in this range.</p>
        <p v-if="bars.length" class="axis muted num"><span>{{ ends[0] }}</span><span>{{ ends[1] }}</span></p>
      </div>
      <p v-if="row.incident" class="note"><span class="tone-bad"><span v-html="marks.incident"></span></span><a :href="'/incidents/' + row.incident">In open incident {{ row.incident }}</a></p>
      <ul v-if="row.conditions" class="conditions">
        <li v-for="c in s.conditions.slice(0, shown)" :key="c.code + c.subject"><p class="what"><span :class="tone(c.severity)"><span v-html="marks[c.severity]"></span>{{ c.severity }}</span> <strong>{{ c.title }}</strong> <span class="muted">{{ c.subject }}</span><span class="muted num since" :title="stamp(c.raised)">{{ age(s.now - c.raised) }}</span></p><p v-if="c.detail" class="muted">{{ c.detail }}</p></li>
        <li v-if="row.conditions > shown" class="muted">{{ plural(row.conditions - shown, 'more condition') }} on its page</li>
      </ul>
      <p class="note go"><a class="button" :href="'/lamppost/' + row.address">Open {{ row.name }}</a></p>
    </section>
    <section v-else-if="s.missing" class="panel pick" aria-labelledby="missing-title">
      <div class="panel-head"><h2 id="missing-title" tabindex="-1">There is no lamppost {{ s.missing }}</h2></div>
      <p class="empty">The address of this page names it. It may have another name, or not be enrolled yet. <button type="button" class="link" @click="close">Go on without it</button></p>
    </section>
    <div v-else class="nothing"></div>`,
  data: () => ({ s: store, marks: MARKS, hours: HOURS, shown: SHOWN, W: WIDE, H: HIGH }),
  computed: {
    row() { return this.s.rows[this.s.picked]; },
    kind() { return kindOf(this.s); },
    inks() { return Object.fromEntries(this.kind.bands.flatMap((b) => [[`--l${b.level}`, b.colour], [`--t${b.level}`, b.ink]])); },
    now() { return this.row[this.s.index]; },
    where() { return [this.row.site, this.row.district, this.row.place ? (this.row.place[2] ? "place known as a cell only" : "") : "no place told"].filter(Boolean).join(" · "); },
    hoursBack() { return HOURS.find(([key]) => key === this.s.hours)[2]; },
    course() {
      const c = this.s.course;
      return c && c.lamppost === this.s.picked && c.index === this.s.index && c.hours === this.hoursBack ? c : null;
    },
    from() { return this.s.now - this.hoursBack * 3_600_000; },
    bars() {
      const c = this.course;
      if (!c) return [];
      const begins = Math.floor(this.from / 3_600_000), w = WIDE / (this.hoursBack + 1);
      const top = Math.max(this.kind.key === "us" ? 50 : 6, ...c.v);
      return c.t.map((t, i) => {
        const h = Math.max(2, (c.v[i] / top) * HIGH);
        return { x: (Math.floor(t / 3_600_000) - begins) * w, w: Math.max(0.8, w - 0.6), y: HIGH - h, h, level: c.level[i], words: `${stamp(t)}: ${c.v[i]}, ${this.kind.bands[c.level[i] - 1].name}` };
      });
    },
    ends() { return [`${day(this.from)} ${clock(this.from, false)}`, "now"]; },
    told() {
      const c = this.course;
      return `${this.kind.short} of each hour over ${plural(this.hoursBack, "hour")}: lowest ${Math.min(...c.v)}, highest ${Math.max(...c.v)}, latest ${c.v.at(-1)}`;
    },
  },
  methods: {
    age, plural, presence, stamp, tone,
    choose(key) {
      this.s.hours = key;
      this.$emit("hours", key);
    },
    close() {
      const id = this.s.picked;
      this.s.picked = null;
      this.s.missing = "";
      this.$emit("pick", null);
      nextTick(() => (document.querySelector(`tr[data-id="${id}"]`) ?? document.getElementById("main"))?.focus({ preventScroll: true }));
    },
    // What was chosen before this panel was there, or before the first list: on a slow browser.
    catchUp() { if (this.s.index !== "us" || this.s.hours !== "24h") this.write(); },
    write() {
      const row = this.s.rows[this.s.picked];
      if (this.s.missing || !this.s.loaded) return;
      remember({ lamppost: row?.address, index: this.s.index === "us" ? null : this.s.index, hours: this.s.hours === "24h" ? null : this.s.hours });
    },
  },
  watch: {
    "s.loaded"() { this.catchUp(); },
    "s.picked"(id) {
      this.write();
      if (this.row) say(`${this.row.name} picked`);
      if (id !== null && innerWidth <= 720) nextTick(() => this.$el.scrollIntoView?.({ block: "nearest", behavior: "smooth" }));
    },
    "s.index"() { this.write(); },
    "s.hours"() { this.write(); },
    "s.missing"(now) { this.write(); if (now) say(`There is no lamppost ${now}`); },
  },
  mounted() {
    this.catchUp();
    this.gone = shortcut("Escape", "Close the picked lamppost", () => { if (this.s.picked !== null) this.close(); });
  },
  unmounted() { this.gone(); },
};
