import { store } from "/assets/store.js";
import { Verdicts } from "/assets/parts.js";

export default {
  components: { Verdicts },
  template: `
    <section v-if="s.post && !s.post_missing" class="panel" aria-labelledby="verdicts-title">
      <div class="panel-head"><h2 id="verdicts-title">Verdicts <span v-if="s.post_verdicts" class="muted num">{{ s.post_verdicts.length }}</span></h2></div>
      <p v-if="!s.post_verdicts?.length" class="empty">{{ s.post_verdicts ? 'None in this range: the lamppost saw nothing to speak of.' : 'Reading.' }}</p>
      <Verdicts v-else :of="s.post_verdicts" label="Verdicts of this lamppost" />
    </section>`,
  data: () => ({ s: store }),
};
