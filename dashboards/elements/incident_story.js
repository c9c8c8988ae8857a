import { store } from "/assets/store.js";
import { MARKS } from "/assets/words.js";
import { When } from "/assets/parts.js";

const LOOKS = { in: { mark: "warning", tone: "tone-bad" }, over: { mark: "fresh", tone: "tone-ok" }, out: { mark: "info", tone: "tone-warn" } };

export default {
  components: { When },
  template: `
    <div v-if="i" class="stacked">
      <section class="panel" aria-labelledby="members-title">
        <div class="panel-head"><h2 id="members-title">Lampposts in it <span class="muted num">{{ i.members.length }}</span></h2></div>
        <p v-if="!i.members.length" class="empty">None: it went on in another incident.</p>
        <ul v-else class="members"><li v-for="m in i.members" :key="m.key">
          <i class="level" :style="{ background: 'var(--level-' + m.level + ')' }" :title="m.level ? 'highest index level ' + m.level + ' of 6' : 'no index known'"></i>
          <a :href="m.href">{{ m.name }}</a>
          <span :class="look(m).tone"><span v-html="marks[look(m).mark]"></span>{{ m.words }}</span>
          <span class="muted small">from <When :ms="m.first" exact />, highest score <span class="num">{{ m.score }}</span>, <span class="num">{{ m.verdicts }}</span> {{ m.verdicts === 1 ? 'verdict' : 'verdicts' }}</span></li></ul>
      </section>
      <section class="panel" aria-labelledby="timeline-title">
        <div class="panel-head"><h2 id="timeline-title">Timeline</h2></div>
        <p v-if="!i.history.length" class="empty">Nothing yet.</p>
        <ol v-else class="timeline" reversed><li v-for="h in i.history" :key="h.id" :class="{ by: h.by }">
          <p><strong>{{ h.what }}</strong><span v-if="h.by"> by {{ h.by }}</span><span class="muted since"><When :ms="h.at" exact /></span></p>
          <p v-if="h.text" class="said">{{ h.text }}</p></li></ol>
      </section>
    </div>`,
  data: () => ({ s: store, marks: MARKS }),
  methods: { look: (m) => LOOKS[m.standing] ?? LOOKS.in },
  computed: { i() { return this.s.incident_missing ? null : this.s.incident; } },
};
