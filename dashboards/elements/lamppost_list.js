import { nextTick } from "vue";
import { store } from "/assets/store.js";
import { MARKS, age, count, plural, presence, tone } from "/assets/words.js";

const RANK = { error: 0, warning: 1, info: 2 };
const CONCERNS = [
  { key: "all", label: "all", test: () => true },
  { key: "offline", label: "not online", test: (r) => r.presence !== "online" },
  { key: "old", label: "late or stale", test: (r) => r.fresh === "late" || r.fresh === "stale" },
  { key: "open", label: "open conditions", test: (r) => r.conditions > 0 },
];
const urgency = (r) =>
  (RANK[r.worst] ?? 3) * 100 + ({ stale: 0, late: 1, none: 2, fresh: 3 }[r.fresh] ?? 3) * 10 + (r.presence === "online" ? 1 : 0);

export default {
  template: `
    <section class="panel list" aria-labelledby="list-title" :data-narrow="s.narrow">
      <div class="panel-head">
        <h2 id="list-title">Lampposts <span class="muted num">{{ count(all.length) }}</span></h2>
        <label class="field"><span class="sr">Filter lampposts by name or place</span>
          <input ref="filter" type="search" v-model="text" placeholder="Filter by name or place" autocomplete="off" spellcheck="false" @keydown.down.prevent="focusRow(0)"></label>
        <label class="field"><span class="sr">Order</span>
          <select v-model="order"><option value="name">by name</option><option value="urgent">attention first</option></select></label>
      </div>
      <div v-if="all.length" class="chips" role="group" aria-label="Show only">
        <button v-for="c in concerns" :key="c.key" type="button" class="chip" :aria-pressed="concern === c.key" @click="concern = c.key">{{ c.label }} <span class="num">{{ c.n }}</span></button>
      </div>
      <p v-if="!s.loaded" class="empty">Reading the list of lampposts.</p>
      <div v-else-if="!all.length" class="empty">
        <h3>No lamppost yet</h3>
        <p>A lamppost appears here once it has been enrolled. {{ s.may.claim ? 'To enrol one:' : 'Whoever runs the server enrols one; your account may look on.' }}</p>
        <ol v-if="s.may.claim">
          <li>On the server, make a claim for it:<br><code>lamppost fleet claim new --device NAME --site PLACE</code></li>
          <li>On the lamppost's computer, write the claim into <code>agent.toml</code> under <code>[enrolment]</code> and run:<br><code>lamppost agent enrol --config agent.toml --wait</code></li>
          <li>Compare the key's fingerprint with the one shown at the top of this page, and accept it.</li>
        </ol>
      </div>
      <p v-else-if="!shown.length" class="empty">No lamppost matches. <button type="button" class="link" @click="clear">Show all</button></p>
      <table v-else role="grid" aria-labelledby="list-title" :aria-rowcount="shown.length + 1" class="lampposts">
        <thead><tr role="row"><th scope="col">Lamppost</th><th scope="col">Link</th><th scope="col">Data</th><th scope="col" class="right">PM2.5 <span class="unit">{{ unit }}</span></th><th scope="col">Open</th></tr></thead>
        <tbody @keydown="keys">
          <tr v-for="(r, i) in shown" :key="r.id" role="row" :data-id="r.id" :tabindex="r.id === entry ? 0 : -1" :aria-selected="r.id === s.picked" :aria-rowindex="i + 2" @click="pick(r.id, true)">
            <td role="gridcell" class="who"><strong>{{ r.name }}</strong><span class="muted place">{{ r.site }}</span>
              <span v-if="r.draining" class="drain"><progress :max="r.draining.total" :value="r.draining.total - r.draining.waiting" :aria-label="'History of ' + r.name + ' drained'"></progress><span class="muted num">{{ r.draining.waiting < r.draining.total ? 'history ' + percent(r.draining) + ' %' : 'history to come' }}</span></span></td>
            <td role="gridcell" :class="tone(r.presence)"><span v-html="marks[r.presence]"></span>{{ presence(r.presence) }}</td>
            <td role="gridcell" :class="tone(r.fresh)"><span v-html="marks[r.fresh]"></span>{{ r.fresh === 'none' ? 'none yet' : r.fresh }}<span v-if="r.latest" class="muted num">&nbsp;{{ age(s.now - r.latest) }}</span></td>
            <td role="gridcell" class="right value num">{{ r.value ?? '–' }}<span v-if="r.value" class="unit" :class="{ narrow: r.unit === unit }">&nbsp;{{ r.unit }}</span><span v-if="r.flag" class="flagged">{{ r.flag }}</span></td>
            <td role="gridcell" :class="tone(r.worst)"><template v-if="r.conditions"><span v-html="marks[r.worst]"></span>{{ r.worst }}<span v-if="r.conditions > 1" class="muted num" :title="r.conditions + ' open'">&nbsp;+{{ r.conditions - 1 }}</span></template><span v-else class="muted wide-only">–</span></td>
          </tr>
        </tbody>
      </table>
      <p class="sr" role="status" aria-live="polite">{{ said }}</p>
    </section>`,
  data: () => ({ s: store, marks: MARKS, text: "", order: "name", concern: "all", timer: null }),
  computed: {
    all() { return Object.values(this.s.rows); },
    concerns() { return CONCERNS.map((c) => ({ ...c, n: count(this.all.filter(c.test).length) })); },
    unit() { return this.all.find((r) => r.unit)?.unit ?? "µg/m³"; },
    shown() {
      const words = this.text.toLowerCase().split(/\s+/).filter(Boolean);
      const test = CONCERNS.find((c) => c.key === this.concern).test;
      const hay = (r) => `${r.address} ${r.site} ${presence(r.presence)}`.toLowerCase();
      const rows = this.all.filter((r) => test(r) && words.every((w) => hay(r).includes(w)));
      const byName = (a, b) => a.name.localeCompare(b.name, "en", { numeric: true });
      return rows.sort(this.order === "name" ? byName : (a, b) => urgency(a) - urgency(b) || byName(a, b));
    },
    entry() { return this.shown.some((r) => r.id === this.s.picked) ? this.s.picked : this.shown[0]?.id; },
    said() { return this.text || this.concern !== "all" ? `${plural(this.shown.length, "lamppost")} shown` : ""; },
  },
  methods: {
    age, count, presence, tone,
    percent: (d) => Math.floor((100 * (d.total - d.waiting)) / Math.max(1, d.total)),
    clear() { this.text = ""; this.concern = "all"; },
    pick(id, enter) {
      clearTimeout(this.timer);
      if (enter) this.s.narrow = "detail";
      if (id === this.s.picked) return;
      this.s.picked = id;
      this.$emit("pick", id);
    },
    focusRow(i) {
      const row = this.shown[Math.min(Math.max(i, 0), this.shown.length - 1)];
      if (!row) return;
      this.$el.querySelector(`tr[data-id="${row.id}"]`)?.focus();
      clearTimeout(this.timer); // holding an arrow key down picks where it stops, not everything on the way
      this.timer = setTimeout(() => this.pick(row.id, false), 120);
    },
    keys(event) {
      const at = this.shown.findIndex((r) => String(r.id) === event.target.dataset?.id);
      if (at < 0) return;
      const go = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: this.shown.length - 1, PageDown: at + 10, PageUp: at - 10 };
      if (event.key in go) this.focusRow(go[event.key]);
      else if (event.key === "Enter" || event.key === " ") {
        this.pick(this.shown[at].id, true);
        if (event.key === "Enter") nextTick(() => document.getElementById("detail-title")?.focus());
      } else return;
      event.preventDefault();
    },
    slash(event) {
      if (event.key !== "/" || event.target.closest?.("input, textarea, select")) return;
      event.preventDefault();
      this.$refs.filter.focus();
    },
  },
  watch: {
    // A wide screen has room for one at once; a narrow one shows the list first.
    "s.loaded"() {
      const asked = new URLSearchParams(location.search).has("lamppost");
      if (this.s.picked === null && !asked && window.innerWidth > 720 && this.shown.length) this.pick(this.shown[0].id, false);
    },
  },
  mounted() { window.addEventListener("keydown", this.slash); },
  unmounted() { window.removeEventListener("keydown", this.slash); },
};
