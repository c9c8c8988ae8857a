import { say, store } from "/assets/store.js";
import { MARKS, stamp, tone } from "/assets/words.js";
import { When } from "/assets/parts.js";

const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60e3).toISOString().slice(0, 16);

export default {
  components: { When },
  template: `
    <section v-if="s.post && !s.post_missing" class="panel" aria-labelledby="units-title">
      <div class="panel-head"><h2 id="units-title">Sensors <span class="muted num">{{ units.length }}</span></h2></div>
      <p v-for="c in s.post_unplaced" :key="c.code + c.subject" class="note" :class="tone(c.severity)"><span v-html="marks[c.severity]"></span>{{ c.title }}: the sensor that is called “{{ c.subject }}” on the lamppost</p>
      <p v-if="!units.length" class="empty">The lamppost has declared no sensor yet.</p>
      <ul v-else class="units"><li v-for="u in units" :key="u.id">
        <p class="line"><strong>{{ u.title }}</strong><span :class="u.health.tone"><span v-html="marks[u.health.mark]"></span>{{ u.health.words }}</span><span v-if="u.health.since" class="muted small">since <When :ms="u.health.since" /></span></p>
        <dl><div><dt>Serial</dt><dd><code>{{ u.serial || 'not told' }}</code></dd></div><div><dt>Position</dt><dd>{{ u.site || 'not told' }}</dd></div><div><dt>Declared</dt><dd class="num">{{ stamp(u.declared) }}</dd></div></dl>
        <p class="small muted">{{ u.channels }}</p>
        <div v-if="u.calibrations.length" class="scroll" tabindex="0" role="region" :aria-label="'Calibrations of ' + u.title"><table class="calibrations">
          <thead><tr><th scope="col">Calibration</th><th scope="col">Holds from</th><th scope="col">By</th></tr></thead>
          <tbody><tr v-for="c in u.calibrations" :key="c.id"><td><span class="num">{{ c.title }}: {{ c.formula }}</span><span v-if="c.source" class="muted"><br>{{ c.source }}</span></td><td class="num nowrap">{{ stamp(c.valid) }}<span v-if="c.holds" class="tone-ok"><br><span v-html="marks.fresh"></span>holds now</span></td><td>{{ c.by }}</td></tr></tbody></table></div>
        <p v-else-if="u.calibrates.length" class="small muted">No calibration of its own: the correction for its kind is applied.</p>
        <p v-if="s.may.calibrate && u.calibrates.length" class="do"><button type="button" @click="ask(u)">Enter a calibration…</button></p></li></ul>
      <dialog ref="dialog" class="ask" aria-labelledby="calibrate-title" @close="unit = null">
        <form v-if="unit" method="dialog" @submit.prevent="submit">
          <h2 id="calibrate-title">Calibration of {{ unit.title }}</h2>
          <template v-if="!sure">
            <p class="muted">From comparing this unit with a reference. It replaces the correction for its kind.</p>
            <div class="grid-form">
              <label class="stack"><span>Channel</span><select v-model="form.channel"><option v-for="c in unit.calibrates" :key="c.key" :value="c.key">{{ c.title }}</option></select></label>
              <label class="stack"><span>Holds from</span><input type="datetime-local" v-model="form.valid" required></label>
              <label class="stack"><span>Slope</span><input type="number" step="any" v-model.number="form.slope" required></label>
              <label class="stack"><span>Offset, µg/m³</span><input type="number" step="any" v-model.number="form.offset" required></label>
              <label class="stack"><span>Per % of humidity</span><input type="number" step="any" v-model.number="form.humidity" required></label>
              <label class="stack whole"><span>Measured against</span><input type="text" v-model.trim="form.source" maxlength="200" required placeholder="station, weeks, by whom"></label>
              <label class="stack whole"><span>Why (optional)</span><input type="text" v-model="form.why" maxlength="500" autocomplete="off"></label>
            </div>
            <p class="formula">corrected = {{ formula }}</p>
          </template>
          <template v-else>
            <p class="formula">corrected = {{ formula }}</p>
            <p><strong>This changes the past.</strong> Every reading of {{ channelTitle }} since {{ form.valid.replace('T', ' ') }} is corrected anew, and with it the index of this lamppost and of its district. A reading of 20 µg/m³ at 50 % humidity becomes <strong class="num">{{ example }}</strong> µg/m³. It is kept with your name, {{ s.operator }}.</p>
          </template>
          <p v-if="problem" class="tone-bad" role="alert"><span v-html="marks.error"></span>{{ problem }}</p>
          <p class="do"><template v-if="!sure"><button type="submit" class="primary">Check it</button><button type="button" @click="$refs.dialog.close()">Leave it</button></template>
            <template v-else><button type="submit" class="primary" :disabled="busy" ref="confirm">Enter it and correct the past</button><button type="button" @click="sure = false">Back</button></template></p>
        </form>
      </dialog>
    </section>`,
  data: () => ({ s: store, marks: MARKS, unit: null, sure: false, busy: false, problem: "", form: {} }),
  computed: {
    units() { return this.s.post_units ?? []; },
    channelTitle() { return this.unit?.calibrates.find((c) => c.key === this.form.channel)?.title; },
    formula() {
      const signed = (v, what) => (v ? ` ${v < 0 ? "−" : "+"} ${Math.abs(v)}${what}` : "");
      return `${this.form.slope} × reading${signed(this.form.offset, "")}${signed(this.form.humidity, " × humidity")}`;
    },
    example() { const f = this.form; return Math.max(0, f.slope * 20 + f.offset + f.humidity * 50).toFixed(1); },
  },
  methods: {
    stamp, tone,
    ask(unit) {
      [this.problem, this.sure] = ["", false];
      this.form = { channel: unit.calibrates[0].key, slope: 1, offset: 0, humidity: 0, source: "", why: "", valid: local(this.s.now) };
      this.unit = unit;
      this.$nextTick(() => this.$refs.dialog.showModal());
    },
    submit() {
      const f = this.form;
      this.problem = "";
      if (![f.slope, f.offset, f.humidity].every(Number.isFinite)) return (this.problem = "Slope, offset and humidity are numbers.");
      if (!this.sure) {
        this.sure = true;
        return this.$nextTick(() => this.$refs.confirm.focus());
      }
      this.busy = true;
      this.$emit("calibrate", { unit: this.unit.id, channel: f.channel, slope: f.slope, offset: f.offset, humidity: f.humidity, valid: Date.parse(f.valid), source: f.source, why: f.why });
    },
    answered(problem) { // called by the server
      this.busy = false;
      this.problem = problem;
      if (problem) return say(problem);
      this.$refs.dialog.close();
      say("Calibration entered. The past is corrected within a minute.");
    },
  },
};
