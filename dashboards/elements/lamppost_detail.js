import { store } from "/assets/store.js";
import { MARKS, age, count, plural, presence, stamp, tone } from "/assets/words.js";

export default {
  template: `
    <section v-show="row || !s.loaded || Object.keys(s.rows).length" class="panel facts" aria-labelledby="detail-title">
      <div class="panel-head">
        <button type="button" class="quiet back" @click="s.narrow = 'list'">All lampposts</button>
        <h2 id="detail-title" tabindex="-1">{{ row ? row.name : 'No lamppost picked' }}</h2>
        <span v-if="row" class="muted">{{ row.site }}</span>
      </div>
      <p v-if="!row" class="empty">Pick a lamppost in the list to see its chart, conditions and sensors. Arrow keys move through the list.</p>
      <dl v-else class="summary">
        <div><dt>Link</dt><dd :class="tone(row.presence)"><span v-html="marks[row.presence]"></span>{{ presence(row.presence) }}<span v-if="row.since && row.presence === 'offline'" class="muted num">&nbsp;for {{ age(s.now - row.since) }}</span></dd></div>
        <div><dt>Data</dt><dd :class="tone(row.fresh)"><span v-html="marks[row.fresh]"></span>{{ row.fresh === 'none' ? 'none yet' : row.fresh }}<span v-if="row.latest" class="muted num">&nbsp;{{ age(s.now - row.latest) }} old</span></dd></div>
        <div v-if="row.presence !== 'never'"><dt>History</dt><dd><template v-if="row.draining"><progress :max="row.draining.total" :value="row.draining.total - row.draining.waiting" aria-label="History drained"></progress><span class="num">&nbsp;{{ plural(row.draining.waiting, 'batch', 'batches') }} to come</span></template><template v-else>nothing waits</template></dd></div>
        <div v-if="d"><dt>Clock</dt><dd :class="d.clock_ok === false ? 'tone-warn' : ''">{{ d.clock_ok === null ? 'unknown' : d.clock_ok ? 'right' : 'not set' }}</dd></div>
        <div v-if="d"><dt>Agent</dt><dd>{{ d.version || 'unknown' }}</dd></div>
        <div><dt>Address</dt><dd><code>{{ row.address }}</code></dd></div>
        <div v-if="row.state !== 'active'"><dt>State</dt><dd class="tone-warn">{{ row.state }}</dd></div>
      </dl>
      <p v-if="row && row.fresh === 'stale'" class="note tone-bad"><span v-html="marks.stale"></span>
        Nothing new for {{ age(s.now - row.latest) }}. {{ row.presence === 'online' ? 'The lamppost is connected: look at its sensors and conditions below.' : 'The lamppost is not connected; it keeps its readings and sends them when it is back.' }}</p>
    </section>`,
  data: () => ({ s: store, marks: MARKS }),
  computed: {
    row() { return this.s.rows[this.s.picked]; },
    d() { return this.s.detail?.id === this.s.picked ? this.s.detail : null; },
  },
  methods: { age, count, plural, presence, stamp, tone },
};
