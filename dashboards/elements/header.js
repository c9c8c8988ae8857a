import { store } from "/assets/store.js";
import { shortcut, shortcuts } from "/assets/keys.js";
import { clock, day, zone, zoneName, MARKS, plural } from "/assets/words.js";

const ICONS = {
  map: '<path d="M3 5.5 8 3.5l4 2 5-2v11l-5 2-4-2-5 2zM8 3.5v11M12 5.5v11" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/>',
  incidents: '<path d="M10 3.2 17.6 16.6H2.4z" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/><path d="M10 8v4M10 13.4v1.4" stroke="currentColor" stroke-width="1.5"/>',
  field: '<path d="M5 17h8M9 17V6.5C9 4.5 10 3.5 12 3.5h1M12 3.5h5l-1.2 3.2h-2.6z" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/>',
};

export default {
  template: `
    <div class="head">
      <a class="skip" href="#main" @click.prevent="skip">Skip to content</a>
      <header class="bar">
        <a class="home" href="/"><svg class="brand" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M9 19V5.5C9 3 11 2 13.5 2H16" fill="none" stroke="currentColor" stroke-width="1.7"/><path d="M13 3.2h6L17.4 7h-2.8z" fill="currentColor"/><path d="M6 19h6" stroke="currentColor" stroke-width="1.7"/></svg>
          <span class="product">Lamppost</span> <span class="city">{{ s.city }}</span></a>
        <nav class="areas" aria-label="Main">
          <a v-for="a in s.areas" :key="a.key" :href="a.at" :aria-current="a.key === s.area ? 'page' : null">
            <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true" v-html="icons[a.key]"></svg>
            <span>{{ a.title }}</span><span v-if="a.key === 'incidents' && s.incidents_open" class="count num" :aria-label="plural(s.incidents_open, 'open incident')">{{ s.incidents_open }}</span><span v-if="a.key === 'field' && s.used_twice.length" class="count num" :aria-label="plural(s.used_twice.length, 'claim was used twice', 'claims were used twice')">{{ s.used_twice.length }}</span></a>
          <details ref="more" class="more" @keydown.esc="close" @focusout="left">
            <summary :class="{ within: s.more.some((a) => a.key === s.area) }">More<span v-if="s.approvals" class="count num"><span aria-hidden="true">{{ s.approvals }}</span><span class="sr">{{ waiting }}</span></span></summary>
            <ul><li v-for="a in s.more" :key="a.key"><a :href="a.at" :aria-current="a.key === s.area ? 'page' : null">{{ a.title }}<span v-if="a.key === 'approvals' && s.approvals" class="count num" aria-hidden="true">{{ s.approvals }}</span></a></li></ul>
          </details>
        </nav>
        <p class="live" :class="link.tone" role="status"><span v-html="marks[link.mark]"></span><span class="words">{{ link.text }}</span></p>
        <p class="street" :title="'Street clock, in the time zone of this browser: ' + zone"><span class="sr">Street clock</span>
          <time :datetime="iso"><span class="wide">{{ date }}&nbsp; </span>{{ time }}</time>&nbsp;<span class="muted zone">{{ zoneName(s.now) }}</span><span v-if="s.speed !== 1" class="speed" title="The street clock runs faster than time">{{ s.speed }}×</span></p>
        <label class="theme" title="Colours"><span class="sr">Colours</span>
          <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true"><circle cx="7" cy="7" r="5.4" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M7 1.6a5.4 5.4 0 0 1 0 10.8z" fill="currentColor"/></svg>
          <select :value="s.theme" @change="turn($event.target.value)"><option value="auto">as the system</option><option value="light">light</option><option value="dark">dark</option></select></label>
        <button type="button" class="quiet help-button" aria-haspopup="dialog" aria-label="Keyboard help" title="Keyboard help" @click="help">?</button>
        <a class="quiet wide operator" href="/account" :title="'Your account: ' + s.operator">{{ s.operator }}</a>
        <form method="post" action="/sign-out"><button type="submit" class="quiet" :title="'Signed in as ' + s.operator">Sign out</button></form>
      </header>
      <p id="live" class="sr" role="status" aria-live="polite">{{ s.said }}</p>
      <dialog ref="help" class="keys" aria-labelledby="keys-title" @click.self="$refs.help.close()">
        <h2 id="keys-title">Keyboard</h2>
        <dl><div v-for="k in told" :key="k.keys.join() + k.words"><dt><kbd v-for="key in k.keys" :key="key">{{ key }}</kbd></dt><dd>{{ k.words }}</dd></div></dl>
        <form method="dialog"><button class="primary">Close</button></form>
      </dialog>
    </div>`,
  data: () => ({ s: store, marks: MARKS, icons: ICONS, zone: zone(), told: shortcuts }),
  computed: {
    link() {
      if (!this.s.socket) return { tone: "tone-bad", mark: "offline", text: "connection lost" };
      if (this.s.fault) return { tone: "tone-warn", mark: "late", text: "no new data" };
      return { tone: "tone-ok", mark: "online", text: "live" };
    },
    time() { return clock(this.s.now); },
    date() { return day(this.s.now); },
    waiting() { return this.s.approvals === 1 ? "1 request waits for you" : `${this.s.approvals} requests wait for you`; },
    iso() { return new Date(this.s.now).toISOString(); },
  },
  methods: {
    zoneName, plural,
    turn(theme) {
      this.s.theme = theme;
      document.documentElement.dataset.theme = theme;
      localStorage.setItem("lamppost-colours", theme);
    },
    skip() {
      const main = document.getElementById("main");
      (main.querySelector("[data-skip-to]") ?? main).focus();
    },
    close() {
      if (!this.$refs.more.open) return;
      this.$refs.more.open = false;
      this.$refs.more.querySelector("summary").focus();
    },
    left(event) { if (!this.$refs.more.contains(event.relatedTarget)) this.$refs.more.open = false; },
    help() { if (!this.$refs.help.open) this.$refs.help.showModal(); },
  },
  mounted() {
    document.getElementById("first")?.remove(); // what stood here until now (frame.py)
    document.documentElement.dataset.theme = this.s.theme;
    this.gone = [
      shortcut("?", "This help", () => this.help()),
      ...[...this.s.areas, ...this.s.more].map((a) => shortcut(`g ${a.letter}`, `Go to ${a.title}`, () => location.assign(a.at))),
    ];
  },
  unmounted() { for (const gone of this.gone) gone(); },
};
