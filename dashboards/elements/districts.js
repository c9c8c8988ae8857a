import { store, say } from "/assets/store.js";
import { kindOf } from "/assets/city.js";
import { plural } from "/assets/words.js";

export default {
  template: `
    <section v-if="rows.length" class="panel districts" aria-labelledby="districts-title" :style="inks">
      <div class="panel-head"><h2 id="districts-title">Districts <span class="muted num">{{ rows.length }}</span></h2></div>
      <ul>
        <li v-for="d in rows" :key="d.name"><button type="button" class="district" :title="d.title" :aria-pressed="s.only?.district === d.name" @click="toggle(d)">
          <span class="index num" :class="'l' + (d.index?.[1] ?? 0)">{{ d.index ? d.index[0] : '–' }}</span>
          <span class="name">{{ d.name }}<br><span class="muted">{{ d.index ? kind.bands[d.index[1] - 1].name : 'no index yet' }}, {{ d.n }}</span></span></button></li>
      </ul>
    </section>
    <div v-else class="nothing"></div>`,
  data: () => ({ s: store }),
  computed: {
    kind() { return kindOf(this.s); },
    inks() { return Object.fromEntries(this.kind.bands.flatMap((b) => [[`--l${b.level}`, b.colour], [`--t${b.level}`, b.ink]])); },
    rows() {
      const found = new Map(this.s.districts.map((d) => [d.name, d.index]));
      const ids = new Map();
      for (const r of Object.values(this.s.rows)) if (r.district) ids.set(r.district, [...(ids.get(r.district) ?? []), r.id]);
      return [...ids].sort(([a], [b]) => a.localeCompare(b)).map(([name, list]) => {
        const index = found.get(name);
        return { name, ids: list, n: list.length, index, title: `${plural(list.length, "lamppost")}${index ? `; ${this.kind.short} decided by ${index[2]}` : ""}. Show only these` };
      });
    },
  },
  methods: {
    toggle(d) {
      const same = this.s.only?.district === d.name;
      this.s.only = same ? null : { district: d.name, words: d.name, ids: d.ids };
      say(same ? "All lampposts shown" : `The list shows ${plural(d.n, "lamppost")} of ${d.name}`);
    },
  },
};
