import { store } from "/assets/store.js";
import { TimeChart } from "/assets/time_chart.js";

export default {
  components: { TimeChart },
  template: `
    <div v-if="i" class="stacked">
      <section class="panel" aria-labelledby="evidence-title">
        <div class="panel-head"><h2 id="evidence-title">Evidence: {{ s.evidence?.title ?? 'PM2.5' }} <span class="unit">{{ s.evidence?.unit ?? '' }}</span></h2><span class="muted small">vertical line: when that lamppost first saw an episode</span></div>
        <TimeChart :spec="s.evidence" name="Evidence" tall empty="No reading around this time." />
        <p v-if="s.evidence_left_out" class="note">The {{ s.evidence.lines.length }} lampposts with the highest scores are drawn; {{ s.evidence_left_out }} more are in the list.</p>
      </section>
      <section class="panel" aria-labelledby="evidence-index-title">
        <div class="panel-head"><h2 id="evidence-index-title">{{ s.evidence_index?.title ?? 'Index' }}</h2></div>
        <TimeChart :spec="s.evidence_index" name="Index" low empty="No index around this time." />
        <ul v-if="s.index_bands?.length" class="bands"><li v-for="b in s.index_bands" :key="b.level"><i :style="{ background: 'var(--level-' + b.level + ')' }"></i>{{ b.name }} <span class="muted num">{{ b.range }}</span></li></ul>
      </section>
    </div>`,
  data: () => ({ s: store }),
  computed: { i() { return this.s.incident_missing ? null : this.s.incident; } },
};
