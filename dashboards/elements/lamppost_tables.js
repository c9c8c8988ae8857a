import { store } from "/assets/store.js";
import { MARKS, age, plural, stamp, tone } from "/assets/words.js";

export default {
  template: `
    <div v-if="d" class="tables">
      <section class="panel" aria-labelledby="conditions-title">
        <div class="panel-head"><h2 id="conditions-title">Open conditions <span class="muted num">{{ d.conditions.length }}</span></h2></div>
        <p v-if="!d.conditions.length" class="empty">None. The lamppost reports nothing wrong.</p>
        <ul v-else class="conditions">
          <li v-for="c in d.conditions" :key="c.code + c.subject">
            <p class="what"><span :class="tone(c.severity)"><span v-html="marks[c.severity]"></span>{{ c.severity }}</span> <strong>{{ c.title }}</strong> <span class="muted">{{ c.subject }}</span><span class="muted num since" :title="stamp(c.raised)">{{ age(s.now - c.raised) }}</span></p>
            <p v-if="c.detail">{{ c.detail }}</p>
            <p v-if="c.remedy" class="remedy"><span class="label">What to do</span> {{ c.remedy }}</p>
          </li>
        </ul>
      </section>
      <section class="panel" aria-labelledby="readings-title">
        <div class="panel-head"><h2 id="readings-title">Newest readings</h2></div>
        <p v-if="!d.readings.length" class="empty">No reading stored yet.</p>
        <div v-else class="scroll" tabindex="0" role="region" aria-labelledby="readings-title"><table>
          <thead><tr><th scope="col">Channel</th><th scope="col" class="right">Value</th><th scope="col">Unit</th><th scope="col">Quality</th><th scope="col" class="right">Age</th></tr></thead>
          <tbody><tr v-for="r in d.readings" :key="r.series">
            <td>{{ r.title }}<span v-if="r.sensor" class="muted">&nbsp;{{ r.sensor }}</span></td><td class="right num">{{ r.value }}</td><td class="unit">{{ r.unit }}</td>
            <td :class="r.flagged ? 'tone-warn' : ''"><span v-if="r.flagged" v-html="marks.warning"></span>{{ r.flag }}</td>
            <td class="right num" :title="stamp(r.time)">{{ age(s.now - r.time) }}</td></tr></tbody>
        </table></div>
      </section>
      <section class="panel" aria-labelledby="sensors-title">
        <div class="panel-head"><h2 id="sensors-title">Sensors <span class="muted num">{{ d.sensors.length }}</span></h2></div>
        <p v-if="!d.sensors.length" class="empty">The lamppost has declared no sensor yet.</p>
        <ul v-else class="sensors">
          <li v-for="u in d.sensors" :key="u.id"><strong>{{ u.title }}</strong>
            <dl><div><dt>Serial</dt><dd><code>{{ u.serial || 'not told' }}</code></dd></div><div><dt>Position</dt><dd>{{ u.site || 'not told' }}</dd></div><div><dt>Declared</dt><dd class="num">{{ stamp(u.declared) }}</dd></div><div><dt>Channels</dt><dd>{{ u.channels }}</dd></div></dl></li>
        </ul>
      </section>
    </div>`,
  data: () => ({ s: store, marks: MARKS }),
  computed: { d() { return this.s.detail?.id === this.s.picked ? this.s.detail : null; } },
  methods: { age, plural, stamp, tone },
};
