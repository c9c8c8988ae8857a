import { store } from "/assets/store.js";
import { MARKS } from "/assets/words.js";

export default {
  template: `
    <section v-if="wishes && !s.post_missing" class="panel" aria-labelledby="settings-title">
      <div class="panel-head"><h2 id="settings-title">Settings</h2></div>
      <p class="empty">{{ wishes.follows }}<span v-if="wishes.tags.length"> Tags: {{ wishes.tags.join(', ') }}.</span></p>
      <p v-if="!wishes.settings.length" class="empty">Nothing is desired of it, and it has told nothing.</p>
      <div v-else class="scroll" tabindex="0" role="region" aria-label="Settings of this lamppost"><table class="orders">
        <thead><tr><th scope="col">Setting</th><th scope="col">Desired</th><th scope="col">Reported</th><th scope="col">State</th></tr></thead>
        <tbody><tr v-for="row in wishes.settings" :key="row.key">
          <td><code>{{ row.key }}</code></td>
          <td class="num">{{ row.desired || '–' }}<span v-if="row.source" class="muted"><br>{{ row.source }}</span></td>
          <td class="num">{{ row.reported || '–' }}</td>
          <td><span :class="row.tone"><span v-html="marks[row.mark]"></span>{{ row.told }}</span></td></tr></tbody></table></div>
    </section>`,
  data: () => ({ s: store, marks: MARKS }),
  computed: {
    wishes() { return this.s.post && this.s.post_facts?.wishes; },
  },
};
