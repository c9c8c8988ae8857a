import { store } from "/assets/store.js";
import { clock, day, zone, MARKS, age } from "/assets/words.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };

export default {
  template: `
    <header class="bar" role="banner">
      <svg class="brand" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M9 19V5.5C9 3 11 2 13.5 2H16" fill="none" stroke="currentColor" stroke-width="1.7"/><path d="M13 3.2h6L17.4 7h-2.8z" fill="currentColor"/><path d="M6 19h6" stroke="currentColor" stroke-width="1.7"/></svg>
      <h1><span class="product">Lamppost</span> <span class="city">{{ s.city }}</span></h1>
      <p class="live" :class="link.tone" role="status" aria-live="polite"><span v-html="marks[link.mark]"></span><span>{{ link.text }}</span></p>
      <p class="street" :title="'Street clock, shown in ' + zone"><span class="label">Street clock</span>
        <time :datetime="iso"><span class="wide">{{ date }}&nbsp; </span>{{ time }}</time><span v-if="s.speed !== 1" class="speed">{{ s.speed }}×</span></p>
      <button type="button" class="quiet" @click="turn" :aria-label="'Colours: ' + s.theme + '. Change'">
        <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="5.4" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M7 1.6a5.4 5.4 0 0 1 0 10.8z" fill="currentColor"/></svg>
        <span class="wide">{{ s.theme }}</span></button>
      <form method="post" action="/sign-out"><button type="submit" class="quiet" :title="'Signed in as ' + s.operator"><span class="wide">{{ s.operator }}&nbsp;·</span>Sign out</button></form>
    </header>`,
  data: () => ({ s: store, marks: MARKS, zone: zone() }),
  computed: {
    link() {
      if (!this.s.socket) return { tone: "tone-bad", mark: "offline", text: "connection lost" };
      if (this.s.fault) return { tone: "tone-warn", mark: "late", text: "no new data" };
      return { tone: "tone-ok", mark: "online", text: "live" };
    },
    time() { return clock(this.s.now); },
    date() { return day(this.s.now); },
    iso() { return new Date(this.s.now).toISOString(); },
  },
  methods: {
    age,
    turn() {
      this.s.theme = NEXT[this.s.theme] ?? "auto";
      document.documentElement.dataset.theme = this.s.theme;
      localStorage.setItem("lamppost-colours", this.s.theme);
    },
  },
  mounted() { document.documentElement.dataset.theme = this.s.theme; },
};
