import { store } from "/assets/store.js";
import { Severity, Standing, When } from "/assets/parts.js";

export default {
  components: { Severity, Standing, When },
  template: `
    <section v-if="s.post && !s.post_missing" class="panel" aria-labelledby="part-title">
      <div class="panel-head"><h2 id="part-title">Incidents it took part in</h2></div>
      <p v-if="!s.post_incidents?.length" class="empty">{{ s.post_incidents ? 'None in this range.' : 'Reading.' }}</p>
      <ul v-else class="parts"><li v-for="i in s.post_incidents" :key="i.id"><Severity :of="i.severity" /><a :href="'/incidents/' + i.id">{{ i.title }}</a><When :ms="i.first" /><Standing :of="i" /></li></ul>
    </section>`,
  data: () => ({ s: store }),
};
