import { say, store } from "/assets/store.js";
import { shortcut } from "/assets/keys.js";
import { MARKS, age, clock, day, plural, stamp } from "/assets/words.js";
import { Severity, When, ago } from "/assets/parts.js";

const REASONS = ["The episode is over", "A known source: works, a feast, fire drill", "False alarm: the sensor erred", "Handed to another office", "Another reason"];
const HOURS = [[1, "1 hour"], [4, "4 hours"], [12, "12 hours"], [24, "a day"], [72, "three days"]];
const WEEK_MS = 7 * 86400e3;
const DONE = { acknowledge: "Acknowledged", silence: "Silenced", note: "Note kept", close: "Closed" };

export default {
  components: { Severity, When },
  template: `
    <section v-if="s.incident_missing" class="panel calm" aria-labelledby="incident-title">
      <h1 id="incident-title" tabindex="-1" data-skip-to>No such incident</h1>
      <p>{{ s.incident_missing }}</p><p><a href="/incidents">All incidents</a></p>
    </section>
    <section v-else-if="!h" class="panel"><p class="empty">Reading the incident.</p></section>
    <section v-else class="panel incident-head" :data-severity="h.state === 'open' ? h.severity : 'over'" aria-labelledby="incident-title">
      <p class="crumb"><a href="/incidents">Incidents</a> <span aria-hidden="true">/</span> {{ h.id }}</p>
      <div class="title-line"><h1 id="incident-title" tabindex="-1" data-skip-to>{{ h.title }}</h1><Severity :of="h.severity" /><span :class="['state', h.state]">{{ h.state }}</span></div>
      <dl class="summary">
        <div><dt>Began</dt><dd><When :ms="h.first" exact /><span class="muted num beneath">{{ ago(h.first, s.now) }}</span></dd></div>
        <div><dt>Last sign</dt><dd><When :ms="h.last" exact /><span class="muted num beneath">{{ ago(h.last, s.now) }}</span></dd></div>
        <div v-if="h.closed"><dt>Closed</dt><dd><When :ms="h.closed" exact /><span class="muted beneath">{{ h.closed_by ? 'by ' + h.closed_by : 'by itself' }}</span></dd></div>
        <div><dt>Where</dt><dd>{{ h.district || 'no district known' }}</dd></div>
        <div><dt>Lampposts</dt><dd class="num">{{ h.lampposts }}</dd></div>
        <div><dt>Acknowledged</dt><dd><template v-if="h.acknowledged_by">by {{ h.acknowledged_by }}<span class="muted beneath"><When :ms="h.acknowledged" /></span></template><span v-else-if="h.state === 'open'" class="tone-warn"><span v-html="marks.warning"></span>not yet</span><template v-else>never</template></dd></div>
        <div v-if="silent"><dt>Silenced</dt><dd>until <When :ms="h.silenced_until" exact /></dd></div>
      </dl>
      <p v-if="h.state !== 'open' && h.close_reason" class="note"><span class="label">Reason</span> {{ h.close_reason }}</p>
      <p v-if="h.merged_into" class="note">It went on as <a :href="'/incidents/' + h.merged_into">incident {{ h.merged_into }}</a>.</p>
      <p v-if="h.late" class="note">It was found in history that came late, when it was over: it raised no alarm.</p>
      <form v-if="s.may.work && h.state !== 'merged'" class="do actions" @submit.prevent="busy || (h.acknowledged_by ? hear() : acknowledge())">
        <button v-if="h.state !== 'merged' && !h.acknowledged_by" type="button" class="primary" :disabled="busy" @click="acknowledge">Acknowledge</button>
        <button v-if="h.state === 'open'" type="button" :disabled="busy" @click="ask('silence')">Silence…</button>
        <button v-if="silent" type="button" :disabled="busy" @click="hear">End the silence</button>
        <button v-if="h.state !== 'merged'" type="button" :disabled="busy" @click="ask('note')">Add a note…</button>
        <button v-if="h.state === 'open'" type="button" :disabled="busy" @click="ask('close')">Close…</button>
        <label v-if="!h.acknowledged_by || silent" class="why"><span class="label">Why (optional)</span><input type="text" v-model="why" maxlength="500" autocomplete="off"></label>
      </form>
      <p v-if="problem && !asked" class="note tone-bad" role="alert"><span v-html="marks.error"></span>{{ problem }}</p>
      <dialog ref="dialog" class="ask" aria-labelledby="ask-title" @close="asked = ''">
        <form v-if="asked" method="dialog" @submit.prevent="submit">
          <h2 id="ask-title">{{ { silence: 'Silence this incident', note: 'Add a note', close: 'Close this incident' }[asked] }}</h2>
          <template v-if="asked === 'silence'">
            <p class="muted">It stays open and goes on collecting evidence; nobody is told of news from it until then.</p>
            <fieldset class="choices"><legend>Until</legend>
              <label v-for="[n, words] in hours" :key="n"><input type="radio" name="hours" :value="n" v-model="form.hours"> {{ words }} from now <span class="muted num">{{ until(n) }}</span></label>
              <label><input type="radio" name="hours" :value="0" v-model="form.hours"> a time of its own</label></fieldset>
            <label v-if="form.hours === 0" class="stack"><span>Date and time</span><input type="datetime-local" v-model="form.until" required></label>
            <label class="stack"><span>Why (optional)</span><input type="text" v-model="form.why" maxlength="500" autocomplete="off"></label>
          </template>
          <template v-else-if="asked === 'close'">
            <p class="muted">What its lampposts go on saying does not open it again; another lamppost that joins does.</p>
            <label class="stack"><span>Why</span><select v-model="form.reason"><option v-for="r in reasons" :key="r">{{ r }}</option></select></label>
          </template>
          <label v-if="asked !== 'silence'" class="stack"><span>{{ asked === 'note' ? 'Note' : 'In your words' + (form.reason === reasons.at(-1) ? '' : ' (optional)') }}</span><textarea v-model="form.text" rows="4" maxlength="1500" :required="asked === 'note' || form.reason === reasons.at(-1)"></textarea></label>
          <p v-if="problem" class="tone-bad" role="alert"><span v-html="marks.error"></span>{{ problem }}</p>
          <p class="do"><button type="submit" class="primary" :disabled="busy">{{ { silence: 'Silence', note: 'Keep the note', close: 'Close it' }[asked] }}</button><button type="button" @click="$refs.dialog.close()">Leave it</button></p>
        </form>
      </dialog>
    </section>`,
  data: () => ({ s: store, marks: MARKS, reasons: REASONS, hours: HOURS, asked: "", busy: false, problem: "", why: "", form: {} }),
  computed: {
    h() { return this.s.incident?.head; },
    silent() { return this.h.state === "open" && this.h.silenced_until > this.s.now; },
  },
  watch: {
    h(now, before) {
      if (now) document.title = `${now.title} - Lamppost ${this.s.city}`;
      if (!before || !now || before.version === now.version) return;
      const news = this.s.incident.history[0];
      if (news && news.id !== this.heard) say(`${news.what}${news.by ? ` by ${news.by}` : ""}. ${news.text}`);
      this.heard = news?.id;
    },
  },
  methods: {
    age, ago, plural, stamp,
    until(n) { const at = this.s.now + n * 3600e3; return `${day(at) === day(this.s.now) ? "" : `${day(at)} `}${clock(at, false)}`; },
    ask(what) {
      this.problem = "";
      this.form = { hours: 4, until: "", reason: REASONS[0], why: this.why, text: this.why };
      this.asked = what;
      this.$nextTick(() => this.$refs.dialog.showModal());
    },
    submit() {
      const f = this.form;
      if (this.asked === "silence") {
        const until = f.hours ? this.s.now + f.hours * 3600e3 : Date.parse(f.until);
        if (!(until > this.s.now)) return (this.problem = "That time has passed already.");
        if (until > this.s.now + WEEK_MS) return (this.problem = "A silence lasts a week at the longest.");
        return this.act("silence", { until, why: f.why });
      }
      const text = f.text.trim();
      if (this.asked === "note") return text ? this.act("note", { text }) : (this.problem = "Write the note first.");
      const chosen = f.reason === REASONS.at(-1) ? "" : f.reason;
      if (!chosen && !text) return (this.problem = "Say why.");
      return this.act("close", { text: [chosen, text].filter(Boolean).join(": ") });
    },
    acknowledge() { this.act("acknowledge", { why: this.why }); },
    hear() { this.act("silence", { until: null, why: this.why }); },
    act(what, more) {
      this.problem = "";
      this.busy = true;
      this.$emit("act", { what, version: this.h.version, ...more });
    },
    // Called by the server. `meanwhile`: what another did to it, where that is why.
    answered(what, problem, meanwhile) {
      this.busy = false;
      const who = meanwhile && `${meanwhile.by || "The city"}: ${meanwhile.what.toLowerCase()}, ${ago(meanwhile.at, this.s.now)}${meanwhile.text ? ` (${meanwhile.text})` : ""}.`;
      this.problem = [problem, who].filter(Boolean).join(" ");
      if (problem) return say(this.problem);
      this.why = "";
      say(DONE[what] ?? "Done");
      if (this.asked) this.$refs.dialog.close();
      document.getElementById("incident-title")?.focus();
    },
  },
  mounted() {
    const button = (words) => () => [...this.$el.querySelectorAll?.(".actions button") ?? []].find((b) => b.textContent.startsWith(words))?.click();
    this.gone = this.s.may.work
      ? [shortcut("a", "Acknowledge", button("Acknowledge")), shortcut("n", "Add a note", button("Add a note")), shortcut("u", "Up to the list", () => location.assign("/incidents"))]
      : [shortcut("u", "Up to the list", () => location.assign("/incidents"))];
  },
  unmounted() { for (const gone of this.gone) gone(); },
};
