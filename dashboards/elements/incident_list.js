import { remember, say, store, take } from "/assets/store.js";
import { shortcut } from "/assets/keys.js";
import { age, count, plural, stamp } from "/assets/words.js";
import { Severity, Standing, When, ago } from "/assets/parts.js";

store.incidents ??= {};
take("incident_rows", (rows) => { for (const row of rows) store.incidents[row.id] = row; });
take("incidents_gone", (numbers) => { for (const number of numbers) delete store.incidents[number]; });

const RANK = { major: 0, moderate: 1, minor: 2 };
const STATES = [
  { key: "open", label: "open", test: (r) => r.state === "open" },
  { key: "new", label: "not acknowledged", test: (r) => r.state === "open" && !r.acknowledged_by },
  { key: "closed", label: "closed", test: (r) => r.state !== "open" },
  { key: "all", label: "all", test: () => true },
];
const TIMES = { "24h": ["the last 24 hours", 86400e3], "7d": ["the last 7 days", 7 * 86400e3], "30d": ["the last 30 days", 30 * 86400e3] };
const newest = (r) => Math.max(r.last, r.closed ?? 0);

export default {
  components: { Severity, Standing, When },
  template: `
    <section class="panel incidents" aria-labelledby="incidents-title">
      <div class="panel-head">
        <h1 id="incidents-title" tabindex="-1" data-skip-to>Incidents</h1>
        <label class="field"><span class="label">Severity</span><select v-model="severity"><option value="">any</option><option v-for="(r, k) in ranks" :key="k" :value="k">{{ k }}</option></select></label>
        <label v-if="districts.length" class="field"><span class="label">District</span><select v-model="district"><option value="">any</option><option v-for="d in districts" :key="d" :value="d">{{ d }}</option></select></label>
        <label class="field"><span class="label">Time</span><select v-model="time"><option value="">any</option><option v-for="(t, k) in times" :key="k" :value="k">{{ t[0] }}</option></select></label>
      </div>
      <div class="chips" role="group" aria-label="Show only">
        <button v-for="c in states" :key="c.key" type="button" class="chip" :aria-pressed="state === c.key" @click="state = c.key">{{ c.label }} <span class="num">{{ c.n }}</span></button>
      </div>
      <p v-if="unread" class="note tone-warn" role="status">The address asks for {{ unread }}, which is not known; it is left out.</p>
      <p v-if="!s.incidents_loaded" class="empty">Reading the incidents.</p>
      <div v-else-if="!shown.length" class="calm">
        <svg v-if="!narrowed" viewBox="0 0 48 48" width="48" height="48" aria-hidden="true"><circle cx="24" cy="24" r="20" fill="none" stroke="currentColor" stroke-width="2"/><path d="m15 25 6.5 6.5L33.5 18" fill="none" stroke="currentColor" stroke-width="3"/></svg>
        <template v-if="narrowed"><h2>Nothing matches</h2><p>{{ plural(all.length, 'incident is', 'incidents are') }} left out by what you chose. <button type="button" class="link" @click="clear">Show all</button></p></template>
        <template v-else-if="!all.length"><h2>No incident so far</h2><p>None was ever opened. One opens by itself when lampposts see an episode; it appears here within seconds.</p></template>
        <template v-else><h2>{{ calm }}</h2><p>The last one: <a :href="'/incidents/' + last.id">{{ last.title }}</a>, over <When :ms="newest(last)" />. <button type="button" class="link" @click="clear">Show all {{ count(all.length) }}</button></p></template>
      </div>
      <table v-else class="incident-table" aria-labelledby="incidents-title">
        <thead><tr><th scope="col">Severity</th><th scope="col">Incident</th><th scope="col">Standing</th><th scope="col" class="right">Lampposts</th><th scope="col">Began</th><th scope="col">Last sign</th></tr></thead>
        <tbody><tr v-for="r in shown" :key="r.id" :class="{ ended: r.state !== 'open' }" @click="open($event, r.id)">
          <td><Severity :of="r.severity" /></td>
          <td class="who"><a :href="'/incidents/' + r.id" :data-incident="r.id">{{ r.title }}</a><span v-if="r.district" class="muted place">{{ r.district }}</span></td>
          <td><Standing :of="r" /></td>
          <td class="right num">{{ r.lampposts }}<span class="muted narrow">&nbsp;{{ r.lampposts === 1 ? 'lamppost' : 'lampposts' }}</span></td>
          <td class="nowrap"><span class="label narrow">began </span><When :ms="r.first" /></td><td class="nowrap"><span class="label narrow">last sign </span><When :ms="r.last" /></td></tr></tbody>
      </table>
      <p v-if="s.incidents_limit && all.length >= s.incidents_limit" class="empty">The newest {{ count(s.incidents_limit) }} are here; all of them: <code>lamppost fleet incidents list</code>.</p>
    </section>`,
  data() {
    const asked = new URLSearchParams(location.search);
    const one = (name, known) => (known.includes(asked.get(name)) ? asked.get(name) : "");
    const unread = [["state", STATES.map((c) => c.key)], ["severity", Object.keys(RANK)], ["time", Object.keys(TIMES)]]
      .filter(([name, known]) => asked.get(name) && !known.includes(asked.get(name)))
      .map(([name]) => `${name} “${asked.get(name).slice(0, 40)}”`).join(", ");
    return { s: store, ranks: RANK, times: TIMES, state: one("state", STATES.map((c) => c.key)) || "open", severity: one("severity", Object.keys(RANK)), time: one("time", Object.keys(TIMES)), district: (asked.get("district") ?? "").slice(0, 100), unread };
  },
  computed: {
    all() { return Object.values(this.s.incidents); },
    filtered() {
      const since = this.time ? this.s.now - TIMES[this.time][1] : -Infinity;
      return this.all.filter((r) => (!this.severity || r.severity === this.severity) && (!this.district || r.district === this.district) && newest(r) >= since);
    },
    states() { return STATES.map((c) => ({ ...c, n: count(this.filtered.filter(c.test).length) })); },
    shown() {
      const test = STATES.find((c) => c.key === this.state).test;
      const order = (a, b) => (a.state === "open" ? 0 : 1) - (b.state === "open" ? 0 : 1) || (a.state === "open" ? RANK[a.severity] - RANK[b.severity] : 0) || newest(b) - newest(a) || b.id - a.id;
      return this.filtered.filter(test).sort(order);
    },
    districts() { return [...new Set([...this.all.map((r) => r.district), this.district].filter(Boolean))].sort((a, b) => a.localeCompare(b, "en")); },
    narrowed() { return Boolean(this.severity || this.district || this.time) || (this.state === "new" && this.all.some((r) => r.state === "open")); },
    last() { return this.all.reduce((a, b) => (newest(b) > newest(a) ? b : a), this.all[0]); },
    calm() { return this.all.some((r) => r.state === "open") ? "Nothing to show here" : `No incident since ${stamp(newest(this.last)).slice(0, 16)}`; },
  },
  watch: {
    shown(now, before) {
      const known = new Set(before.map((r) => r.id));
      const fresh = now.filter((r) => r.state === "open" && !known.has(r.id));
      if (this.s.incidents_loaded && this.told && fresh.length) say(`New: ${fresh.map((r) => `${r.severity} incident, ${r.title}`).join("; ")}`);
      this.told = true;
    },
    state() { this.keep(); }, severity() { this.keep(); }, district() { this.keep(); }, time() { this.keep(); },
  },
  methods: {
    age, ago, count, newest, plural, stamp,
    clear() { [this.state, this.severity, this.district, this.time] = ["all", "", "", ""]; },
    keep() {
      remember({ state: this.state === "open" ? "" : this.state, severity: this.severity, district: this.district, time: this.time });
      this.unread = "";
      say(`${plural(this.shown.length, "incident")} shown`);
    },
    open(event, id) { if (!event.target.closest("a, button") && !String(getSelection())) location.assign(`/incidents/${id}`); },
    step(by) {
      const links = [...this.$el.querySelectorAll("[data-incident]")];
      const at = links.indexOf(document.activeElement);
      links[Math.min(Math.max(at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by, 0), links.length - 1)]?.focus();
    },
  },
  mounted() {
    this.gone = [
      shortcut("j", "Next incident", () => this.step(1)),
      shortcut("k", "Incident before", () => this.step(-1)),
      shortcut("Enter", "Open the incident"),
    ];
  },
  unmounted() { for (const gone of this.gone) gone(); },
};
