import { store } from "/assets/store.js";
import { Severity, Standing, Verdicts, When } from "/assets/parts.js";

export default {
  components: { Severity, Standing, Verdicts, When },
  template: `
    <div v-if="s.post && !s.post_missing" class="stacked">
      <section class="panel" aria-labelledby="part-title">
        <div class="panel-head"><h2 id="part-title">Incidents it took part in</h2></div>
        <p v-if="!s.post_incidents?.length" class="empty">{{ s.post_incidents ? 'None in this range.' : 'Reading.' }}</p>
        <ul v-else class="members"><li v-for="i in s.post_incidents" :key="i.id"><Severity :of="i.severity" /><a :href="'/incidents/' + i.id">{{ i.title }}</a><When :ms="i.first" /><span class="small"><Standing :of="i" /></span></li></ul>
      </section>
      <section class="panel" aria-labelledby="verdicts-title">
        <div class="panel-head"><h2 id="verdicts-title">Verdicts <span v-if="s.post_verdicts" class="muted num">{{ s.post_verdicts.length }}</span></h2></div>
        <p v-if="!s.post_verdicts?.length" class="empty">{{ s.post_verdicts ? 'None in this range: the lamppost saw nothing to speak of.' : 'Reading.' }}</p>
        <Verdicts v-else :of="s.post_verdicts" label="Verdicts of this lamppost" />
      </section>
    </div>`,
  data: () => ({ s: store }),
};
