// Small things the working pages share: an instant, a severity, an incident's standing, a verdict's words.
import { store } from "/assets/store.js";
import { MARKS, age, stamp } from "/assets/words.js";

const SEVERITY = { major: { mark: "error", tone: "tone-bad" }, moderate: { mark: "warning", tone: "tone-warn" }, minor: { mark: "info", tone: "tone-quiet" } };

export const ago = (ms, now) => (ms > now ? `in ${age(ms - now)}` : `${age(now - ms)} ago`);

// Relative for the eye, exact beside it or on hovering, machine-readable for everything else.
export const When = {
  props: { ms: Number, exact: Boolean },
  template: `<time v-if="ms" class="when num" :datetime="iso" :title="exact ? rel : full">{{ exact ? full : rel }}</time><span v-else class="muted">–</span>`,
  data: () => ({ s: store }),
  computed: {
    iso() { return new Date(this.ms).toISOString(); },
    full() { return stamp(this.ms); },
    rel() { return ago(this.ms, this.s.now); },
  },
};

export const Severity = {
  props: { of: String },
  template: `<span class="severity" :class="look.tone"><span v-html="marks[look.mark]"></span>{{ of }}</span>`,
  data: () => ({ marks: MARKS }),
  computed: { look() { return SEVERITY[this.of] ?? SEVERITY.minor; } },
};

// What people have done about it, in words: "acknowledged by mara", "silenced until ...", "closed: ...".
export const Standing = {
  props: { of: Object },
  template: `<span class="standing"><span :class="['state', of.state]">{{ of.state }}</span><span v-if="of.late" class="state late-one" title="Found in history that came late: it raised no alarm">late</span>
    <span v-if="of.state === 'closed'" class="muted">{{ of.close_reason }}</span>
    <template v-else><span v-if="of.acknowledged_by" class="muted">acknowledged by {{ of.acknowledged_by }}</span><span v-else class="tone-warn fresh-one">not acknowledged</span><span v-if="silent" class="muted"> · silenced until {{ stamp(of.silenced_until) }}</span></template></span>`,
  data: () => ({ s: store }),
  computed: { silent() { return this.of.silenced_until && this.of.silenced_until > this.s.now; } },
  methods: { stamp },
};

export const Verdicts = {
  props: { of: Array, places: Boolean, label: String },
  template: `
    <div class="scroll" tabindex="0" role="region" :aria-label="label"><table class="verdicts">
      <thead><tr><th scope="col">Time</th><th v-if="places" scope="col">Lamppost</th><th scope="col">Verdict</th><th scope="col" class="right">Score</th><th scope="col" class="right">Sure</th><th scope="col">Reason</th><th scope="col">Decided by</th></tr></thead>
      <tbody><tr v-for="v in of" :key="v.id">
        <td class="num nowrap"><When :ms="v.time" exact /></td>
        <td v-if="places" class="nowrap"><a :href="v.href">{{ v.name }}</a></td>
        <td class="nowrap"><span :class="v.tone"><span v-html="marks[v.mark]"></span>{{ v.words }}</span></td>
        <td class="right num"><span class="label narrow">score </span>{{ v.score }}</td><td class="right num nowrap"><span class="label narrow">sure </span>{{ v.confidence }}</td>
        <td class="reason">{{ v.reason }}</td><td><span class="label narrow">by </span><span class="nowrap">{{ v.decided }}</span> <code v-if="v.model" class="muted">{{ v.model }}</code></td></tr></tbody></table></div>`,
  components: { When },
  data: () => ({ marks: MARKS }),
};
