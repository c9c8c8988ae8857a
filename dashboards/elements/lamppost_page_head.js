import { store } from "/assets/store.js";
import { MARKS, age, plural, presence, stamp, tone } from "/assets/words.js";
import { When } from "/assets/parts.js";

export default {
  components: { When },
  template: `
    <section v-if="s.post_missing" class="panel calm" aria-labelledby="post-title">
      <h1 id="post-title" tabindex="-1" data-skip-to>No such lamppost</h1>
      <p>{{ s.post_missing }}</p><p><a href="/">The map and all lampposts</a></p>
    </section>
    <section v-else-if="!p" class="panel"><p class="empty">Reading the lamppost.</p></section>
    <template v-else>
      <section class="panel post-head" aria-labelledby="post-title">
        <p class="crumb"><a :href="'/?lamppost=' + encodeURIComponent(p.address)">Map</a> <span aria-hidden="true">/</span> {{ p.address }}</p>
        <div class="title-line"><h1 id="post-title" tabindex="-1" data-skip-to>{{ p.name }}</h1><span class="muted">{{ p.where }}</span>
          <span v-if="p.state !== 'active'" class="state tone-warn">{{ p.state }}</span>
          <a v-if="s.may.standing" class="aside" :href="'/standing/' + p.address">Let in, shut out, certificates</a></div>
        <p class="standing-line"><span :class="tone(p.presence)"><span v-html="marks[p.presence]"></span>{{ presence(p.presence) }}<span v-if="p.since && p.presence === 'offline'" class="muted num">&nbsp;for {{ age(s.now - p.since) }}</span></span>
          <span :class="tone(p.fresh)"><span v-html="marks[p.fresh]"></span>{{ p.fresh === 'none' ? 'no data yet' : 'data ' + p.fresh }}<span v-if="p.latest" class="muted num">&nbsp;{{ age(s.now - p.latest) }} old</span></span>
          <span v-if="p.waiting" class="muted num">{{ plural(p.waiting, 'batch', 'batches') }} of history to come</span></p>
        <dl v-if="f" class="summary">
          <div><dt>Decides by</dt><dd :class="f.model.tone"><template v-if="f.model.name">{{ f.model.by }} <code>{{ f.model.name }}</code></template><template v-else>not told</template><span v-if="f.model.why" class="muted">{{ f.model.why }}</span></dd></div>
          <div><dt>Certificate</dt><dd><span :class="f.certificate.tone"><span v-html="marks[f.certificate.mark]"></span>{{ f.certificate.words }}</span><template v-if="f.certificate.subject"><br><code>{{ f.certificate.subject }}</code></template></dd></div>
          <div><dt>Place</dt><dd>{{ f.place }}</dd></div>
          <div><dt>Agent</dt><dd>{{ p.version || 'version not told' }}</dd></div>
          <div><dt>Clock</dt><dd :class="p.clock_ok === false ? 'tone-warn' : ''">{{ p.clock_ok === null ? 'not told' : p.clock_ok ? 'right' : 'not set' }}</dd></div>
          <div><dt>Registered</dt><dd class="num">{{ stamp(f.registered) }}</dd></div>
        </dl>
        <p v-if="p.fresh === 'stale'" class="note tone-bad"><span v-html="marks.stale"></span>Nothing new for {{ age(s.now - p.latest) }}. {{ p.presence === 'online' ? 'The lamppost is connected: look at its sensors and conditions below.' : 'The lamppost is not connected; it keeps its readings and sends them when it is back.' }}</p>
        <p v-else-if="p.fresh === 'none'" class="note"><span v-html="marks.none"></span>No reading has come yet. {{ p.presence === 'never' ? 'The lamppost has not connected since it was registered.' : '' }}</p>
      </section>
      <section v-if="p.conditions.length" class="panel" aria-labelledby="conditions-title">
        <div class="panel-head"><h2 id="conditions-title">Open conditions <span class="muted num">{{ p.conditions.length }}</span></h2></div>
        <ul class="conditions"><li v-for="c in p.conditions" :key="c.code + c.subject">
          <p class="what"><span :class="tone(c.severity)"><span v-html="marks[c.severity]"></span>{{ c.severity }}</span> <strong>{{ c.title }}</strong> <span class="muted">{{ c.subject }}</span><span class="muted since">since <When :ms="c.raised" exact /></span></p>
          <p v-if="c.detail">{{ c.detail }}</p><p v-if="c.remedy" class="remedy"><span class="label">What to do</span> {{ c.remedy }}</p></li></ul>
      </section>
    </template>`,
  data: () => ({ s: store, marks: MARKS }),
  computed: { p() { return this.s.post; }, f() { return this.s.post_facts; } },
  watch: { "p.name"(name) { if (name) document.title = `${name} - Lamppost ${this.s.city}`; } },
  methods: { age, plural, presence, stamp, tone },
};
