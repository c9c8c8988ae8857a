import { store } from "/assets/store.js";
import { Verdicts } from "/assets/parts.js";

export default {
  components: { Verdicts },
  template: `
    <section v-if="i" class="panel" aria-labelledby="verdicts-title">
      <div class="panel-head"><h2 id="verdicts-title">Verdicts <span class="muted num">{{ i.verdicts.length }}</span></h2></div>
      <p v-if="!i.verdicts.length" class="empty">{{ i.head.merged_into ? 'They are with the incident that it became a part of.' : 'None is kept.' }}</p>
      <Verdicts v-else :of="i.verdicts" places label="Verdicts with reasons" />
      <p v-if="i.verdicts.length >= i.verdicts_limit" class="empty">The newest {{ i.verdicts_limit }} are here; all of them: <code>lamppost fleet incidents show {{ i.head.id }}</code>.</p>
    </section>`,
  data: () => ({ s: store }),
  computed: { i() { return this.s.incident_missing ? null : this.s.incident; } },
};
