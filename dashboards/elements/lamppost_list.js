import { nextTick } from "vue";
import { store, say } from "/assets/store.js";
import { shortcut } from "/assets/keys.js";
import { kindOf } from "/assets/city.js";
import { MARKS, age, count, plural, presence, tone } from "/assets/words.js";

const PAGE = 50; // rows drawn at once: a screen reader and an old tablet take no five hundred
const RANK = { error: 0, warning: 1, info: 2 };
const CONCERNS = [
  { key: "all", label: "all", test: () => true },
  { key: "incident", label: "in an incident", test: (r) => r.incident },
  { key: "open", label: "open conditions", test: (r) => r.conditions > 0 },
  { key: "old", label: "late or stale", test: (r) => r.fresh === "late" || r.fresh === "stale" },
  { key: "offline", label: "not online", test: (r) => r.presence !== "online" },
  { key: "nowhere", label: "without a place", test: (r) => !r.place },
];
const urgency = (r) =>
  (r.incident ? 0 : 1000) + (RANK[r.worst] ?? 3) * 100 + ({ stale: 0, late: 1, none: 2, fresh: 3 }[r.fresh] ?? 3) * 10 + (r.presence === "online" ? 1 : 0);
const natural = new Intl.Collator("en", { numeric: true }).compare;

export default {
  template: `
    <section class="panel list" aria-labelledby="list-title">
      <div class="panel-head">
        <h2 id="list-title">Lampposts <span class="muted num">{{ count(all.length) }}</span></h2>
        <label class="field grow"><span class="sr">Filter lampposts by name, place or district</span>
          <input ref="filter" type="search" v-model="text" placeholder="Filter" autocomplete="off" spellcheck="false" @keydown.down.prevent="focusRow(0)"></label>
        <label class="field"><span class="sr">Order</span>
          <select v-model="order"><option value="name">by name</option><option value="urgent">attention first</option><option value="index">worst air first</option></select></label>
      </div>
      <div v-if="all.length" class="chips" role="group" aria-label="Show only">
        <button v-if="s.only" type="button" class="chip" aria-pressed="true" @click="s.only = null">{{ s.only.words }} <span aria-hidden="true">×</span><span class="sr">, show all again</span></button>
        <button v-for="c in concerns" :key="c.key" type="button" class="chip" :aria-pressed="concern === c.key" @click="concern = c.key">{{ c.label }} <span class="num">{{ c.told }}</span></button>
      </div>
      <p v-if="!s.may.look" class="empty">Your account sees districts, no single lamppost.</p>
      <p v-else-if="!s.loaded && s.fault" class="empty">The list appears when the database answers.</p>
      <p v-else-if="!s.loaded" class="empty">Reading the list of lampposts.</p>
      <div v-else-if="!all.length" class="empty">
        <h3>No lamppost yet</h3>
        <p>A lamppost appears here once it has been enrolled. {{ s.may.claim ? 'To enrol one:' : 'Whoever runs the server enrols one; your account may look on.' }}</p>
        <ol v-if="s.may.claim">
          <li>On the server, make a claim for it:<br><code>lamppost fleet claim new --device NAME --site PLACE --at LAT,LON --district NAME</code></li>
          <li>On the lamppost's computer, write the claim into <code>agent.toml</code> under <code>[enrolment]</code> and run:<br><code>lamppost agent enrol --config agent.toml --wait</code></li>
          <li>Compare the key's fingerprint with the one shown at the top of this page, and accept it.</li>
        </ol>
      </div>
      <p v-else-if="!shown.length" class="empty">No lamppost matches. <button type="button" class="link" @click="clear">Show all</button></p>
      <div v-else class="rows">
      <table role="grid" aria-labelledby="list-title" :aria-rowcount="shown.length + 1" class="lampposts">
        <thead><tr role="row"><th scope="col">Lamppost</th><th scope="col" class="right">{{ kind.short }}</th><th scope="col" class="right">PM2.5 <span class="unit">{{ unit }}</span></th><th scope="col">Data</th></tr></thead>
        <tbody @keydown="keys" :style="inks">
          <tr v-for="(r, i) in page" :key="r.id" role="row" :data-id="r.id" :tabindex="r.id === entry ? 0 : -1" :aria-selected="r.id === s.picked" :aria-rowindex="first + i + 2" @click="pick(r.id)">
            <td role="gridcell" class="who"><strong>{{ r.name }}</strong>
              <span v-if="r.conditions" class="sign" :class="tone(r.worst)" :title="r.conditions + ' open'"><span v-html="marks[r.worst]"></span>{{ r.worst }}<span v-if="r.conditions > 1" class="muted num">&nbsp;+{{ r.conditions - 1 }}</span></span>
              <span v-if="r.incident" class="sign tone-bad"><span v-html="marks.incident"></span>incident</span>
              <span class="muted place">{{ where(r) }}</span>
              <span v-if="r.draining" class="drain"><progress :max="r.draining.total" :value="r.draining.total - r.draining.waiting" :aria-label="'History of ' + r.name + ' drained'"></progress><span class="muted num">{{ r.draining.waiting < r.draining.total ? 'history ' + percent(r.draining) + ' %' : 'history to come' }}</span></span></td>
            <td role="gridcell" class="right"><span v-if="r[s.index]" class="index num" :class="'l' + r[s.index][1]" :title="kind.bands[r[s.index][1] - 1].name">{{ r[s.index][0] }}<span class="sr"> {{ kind.bands[r[s.index][1] - 1].name }}</span></span><span v-else class="muted">–</span></td>
            <td role="gridcell" class="right value num">{{ r.value ?? '–' }}<span v-if="r.value" class="unit" :class="{ sr: r.unit === unit }">&nbsp;{{ r.unit }}</span><span v-if="r.flag" class="flagged">{{ r.flag }}</span></td>
            <td role="gridcell" class="state"><span :class="tone(r.fresh)"><span v-html="marks[r.fresh]"></span>{{ r.fresh === 'none' ? 'none yet' : r.fresh }}<span v-if="r.latest" class="muted num">&nbsp;{{ age(s.now - r.latest) }}</span></span>
              <span v-if="r.presence !== 'online'" class="link-state" :class="tone(r.presence)"><span v-html="marks[r.presence]"></span>{{ presence(r.presence) }}</span><span v-else class="sr">online</span></td>
          </tr>
        </tbody>
      </table>
      </div>
      <nav v-if="pages > 1" class="pager" aria-label="Pages of the list">
        <button type="button" :disabled="at === 0" @click="turn(at - 1)">Previous</button>
        <span class="num">{{ count(first + 1) }}–{{ count(first + page.length) }} of {{ count(shown.length) }}</span>
        <button type="button" :disabled="at >= pages - 1" @click="turn(at + 1)">Next</button>
      </nav>
    </section>`,
  data: () => ({ s: store, marks: MARKS, text: "", order: "name", concern: "all", wanted: 0, timer: null }),
  computed: {
    kind() { return kindOf(this.s); },
    inks() { return Object.fromEntries(this.kind.bands.flatMap((b) => [[`--l${b.level}`, b.colour], [`--t${b.level}`, b.ink]])); },
    all() { return Object.values(this.s.rows); },
    concerns() {
      return CONCERNS.map((c) => ({ ...c, n: this.all.filter(c.test).length })).filter((c) => c.n || ["all", this.concern].includes(c.key)).map((c) => ({ ...c, told: count(c.n) }));
    },
    unit() { return this.all.find((r) => r.unit)?.unit ?? "µg/m³"; },
    shown() {
      const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
      const test = CONCERNS.find((c) => c.key === this.concern).test;
      const only = this.s.only && new Set(this.s.only.ids);
      const hay = (r) => `${r.address} ${r.site} ${r.district} ${presence(r.presence)}`.toLowerCase();
      const rows = this.all.filter((r) => (!only || only.has(r.id)) && test(r) && words.every((w) => hay(r).includes(w)));
      const byName = (a, b) => natural(a.name, b.name);
      const worst = (r) => -(r[this.s.index]?.[0] ?? -1);
      if (this.order === "urgent") return rows.sort((a, b) => urgency(a) - urgency(b) || byName(a, b));
      if (this.order === "index") return rows.sort((a, b) => worst(a) - worst(b) || byName(a, b));
      return rows.sort(byName);
    },
    pages() { return Math.max(1, Math.ceil(this.shown.length / PAGE)); },
    at() { return Math.min(this.wanted, this.pages - 1); },
    first() { return this.at * PAGE; },
    page() { return this.shown.slice(this.first, this.first + PAGE); },
    entry() { return this.page.some((r) => r.id === this.s.picked) ? this.s.picked : this.page[0]?.id; },
  },
  methods: {
    age, count, presence, tone,
    where: (r) => [r.site, r.district, r.place ? "" : "no place told"].filter(Boolean).join(" · "),
    percent: (d) => Math.floor((100 * (d.total - d.waiting)) / Math.max(1, d.total)),
    clear() { this.text = ""; this.concern = "all"; this.s.only = null; },
    turn(page) {
      this.wanted = Math.min(Math.max(page, 0), this.pages - 1);
      nextTick(() => {
        this.$el.querySelector(".rows")?.scrollTo(0, 0);
        say(`Lampposts ${this.first + 1} to ${this.first + this.page.length} of ${this.shown.length}`);
      });
    },
    pick(id) {
      clearTimeout(this.timer);
      if (id === this.s.picked) return;
      this.s.picked = id;
      this.$emit("pick", id);
    },
    focusRow(i) {
      const at = Math.min(Math.max(i, 0), this.shown.length - 1), row = this.shown[at];
      if (!row) return;
      this.wanted = Math.floor(at / PAGE);
      nextTick(() => this.$el.querySelector(`tr[data-id="${row.id}"]`)?.focus());
      clearTimeout(this.timer); // holding an arrow key down picks where it stops, not everything on the way
      this.timer = setTimeout(() => this.pick(row.id), 120);
    },
    keys(event) {
      const at = this.shown.findIndex((r) => String(r.id) === event.target.dataset?.id);
      if (at < 0) return;
      const go = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.shown.length - 1, PageDown: at + PAGE, PageUp: at - PAGE };
      if (event.key in go) this.focusRow(go[event.key]);
      else if (event.key === "Enter" || event.key === " ") {
        this.pick(this.shown[at].id);
        if (event.key === "Enter") nextTick(() => document.getElementById("panel-title")?.focus());
      } else return;
      event.preventDefault();
    },
    // The picked one is shown in the list, on its page, where somebody picks on the map.
    follow() {
      const at = this.shown.findIndex((r) => r.id === this.s.picked);
      if (at < 0) return;
      this.wanted = Math.floor(at / PAGE);
      nextTick(() => this.$el.querySelector('tr[aria-selected="true"]')?.scrollIntoView({ block: "nearest" }));
    },
  },
  watch: {
    text() { this.wanted = 0; this.speak(); },
    concern() { this.wanted = 0; this.speak(); },
    order() { this.wanted = 0; },
    "s.only"() { this.wanted = 0; },
    "s.picked"() { if (innerWidth > 720) this.follow(); },
  },
  mounted() {
    this.speak = () => say(`${plural(this.shown.length, "lamppost")} shown`);
    this.gone = [
      shortcut("/", "Filter the lampposts", () => this.$refs.filter.focus()),
      shortcut("↑ ↓", "Move through the list; Enter picks"),
    ];
  },
  unmounted() { for (const gone of this.gone) gone(); },
};
