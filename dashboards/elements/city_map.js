import { leaflet as L } from "nicegui-leaflet";
import { markRaw } from "vue";
import { store, say } from "/assets/store.js";
import { shortcut } from "/assets/keys.js";
import { plural } from "/assets/words.js";
import { clusters, hull } from "/assets/cluster.js";
import { drawGraticule } from "/assets/graticule.js";
import { clusterMark, clusterWords, postMark, postWords } from "/assets/marks.js";
import { kindOf } from "/assets/city.js";

const RADIUS_PX = 58; // marks nearer than this would lie over each other
const ALONE_FROM_ZOOM = 17; // from here on only what lies on the same spot is one mark
const SPOT_PX = 20;
const MAX_ZOOM = 19;

export default {
  template: `
    <section class="panel map-panel" :class="{ old: s.fault || !s.socket }" aria-labelledby="map-title">
      <h2 id="map-title" class="sr">Map</h2>
      <p class="sr">The table of lampposts beside the map holds the same in text.</p>
      <div ref="map" class="map" role="group" aria-label="Map of the lampposts. Arrow keys move it, plus and minus zoom." :style="inks"></div>
      <fieldset class="ranges map-index"><legend class="sr">Colour by</legend>
        <label v-for="k in s.kinds" :key="k.key" :title="k.title"><input type="radio" name="index" :value="k.key" :checked="k.key === s.index" @change="choose(k.key)"><span>{{ short(k) }}</span></label>
      </fieldset>
      <button type="button" class="whole" title="Show the whole city (0)" @click="fit"><span class="sr">Show the whole city</span><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" fill="none" stroke="currentColor" stroke-width="1.6"/></svg></button>
      <div v-if="note" class="map-note"><p><strong>{{ note.title }}</strong></p><p class="muted">{{ note.text }}</p><p v-if="note.code"><code>{{ note.code }}</code></p></div>
      <details class="map-legend" :style="inks" :open="wide">
        <summary>Legend <span class="muted">{{ kind.title }}</span></summary>
        <ol class="bands"><li v-for="b in kind.bands" :key="b.level"><i :class="'l' + b.level">{{ counts[b.level] || '' }}</i><span>{{ b.name }}</span> <span class="muted num">{{ span(b) }}</span></li>
          <li><i class="l0">{{ counts[0] || '' }}</i><span>no index yet</span></li></ol>
        <ul class="signs">
          <li v-for="(g, words) in signs" :key="words"><span v-html="g"></span>{{ words }}</li>
        </ul>
      </details>
    </section>`,
  data: () => ({ s: store, wide: innerWidth > 1100 && innerHeight > 640 }),
  computed: {
    kind() { return kindOf(this.s); },
    inks() {
      return Object.fromEntries(this.kind.bands.flatMap((b) => [[`--l${b.level}`, b.colour], [`--t${b.level}`, b.ink]]));
    },
    rows() { return Object.values(this.s.rows); },
    placed() { return this.rows.filter((r) => r.place).length; },
    counts() {
      const counts = Array(7).fill(0);
      for (const r of this.rows) counts[r[this.s.index]?.[1] ?? 0] += 1;
      return counts;
    },
    note() {
      if (!this.s.may.look) return { title: "Districts only", text: "Your account sees what the lampposts of a district come to, below." };
      if (!this.s.loaded) return this.s.fault ? { title: "The map waits for the database", text: "Lampposts appear by themselves when it answers." } : null;
      if (!this.rows.length) return { title: "No lamppost yet", text: "The map fills with the first lamppost that is enrolled." };
      if (!this.placed) return { title: "No lamppost has a place yet", text: "All of them are in the list. Whoever runs the server tells where they stand:", code: "lamppost fleet lamppost place NAME --at LAT,LON" };
      return null;
    },
    signs() {
      const sign = (r) => postMark({ fresh: "fresh", place: [0, 0, 0], [this.s.index]: [7, 0], ...r }, this.s.index);
      const draw = (r) => { const m = sign(r); return `<span class="mark-box ${m.css}">${m.html.replace(/<text.*<\/text>/, "")}</span>`; };
      return {
        "fresh data": draw({}), "stale, or never heard": draw({ fresh: "stale" }), "something is wrong": draw({ worst: "error" }),
        "in an open incident": draw({ incident: 1 }), "only the cell is known": draw({ place: [0, 0, 1] }),
      };
    },
  },
  watch: {
    "s.rolled"() { this.schedule(); },
    "s.index"() { this.schedule(); },
    "s.picked"(id) { this.schedule(); if (id !== null) this.reveal(id); },
    placed(now, before) { if (!before && now) this.fit(); },
  },
  methods: {
    short: (k) => kindOf({ kinds: [k], index: k.key }).short,
    span: (b) => (b.low === b.high ? `${b.low}` : b.high >= 500 ? `${b.low}+` : `${b.low}–${b.high}`),
    choose(key) {
      this.s.index = key;
      this.$emit("index", key);
      say(`Coloured by ${this.kind.title}`);
    },
    pick(id) {
      this.s.picked = id;
      this.$emit("pick", id);
    },
    schedule() { this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); }); },
    fit() {
      const at = this.rows.filter((r) => r.place).map((r) => [r.place[0], r.place[1]]);
      if (at.length) this.map.fitBounds(L.latLngBounds(at), { paddingTopLeft: [this.wide ? 300 : 48, 70], paddingBottomRight: [60, 48], maxZoom: 15, animate: false });
      else this.map.setView([0, 0], 2);
      this.schedule();
    },
    reveal(id) {
      const place = this.s.rows[id]?.place;
      if (place && !this.map.getBounds().pad(-0.08).contains([place[0], place[1]])) this.map.panTo([place[0], place[1]]);
    },
    // All marks of this zoom; those that stay are changed in place, and only where they differ.
    draw() {
      const { map, s } = this, zoom = map.getZoom(), kind = this.kind, index = s.index;
      const points = this.rows.filter((r) => r.place).map((r) => {
        const p = map.project([r.place[0], r.place[1]], zoom);
        return { id: r.id, x: p.x, y: p.y };
      });
      const radius = zoom >= ALONE_FROM_ZOOM ? SPOT_PX : RADIUS_PX;
      const seen = new Set(), view = map.getPixelBounds();
      for (const g of clusters(points, radius)) {
        if (g.x < view.min.x - 80 || g.x > view.max.x + 80 || g.y < view.min.y - 80 || g.y > view.max.y + 80) continue;
        const rows = g.ids.map((id) => s.rows[id]);
        const one = rows.length === 1;
        const key = `${zoom}:${g.ids[0]}`;
        const look = one ? postMark(rows[0], index) : clusterMark(rows, index);
        look.words = one ? postWords(rows[0], index, kind) : clusterWords(rows, index, kind);
        look.picked = g.ids.includes(s.picked);
        seen.add(key);
        this.put(key, map.unproject([g.x, g.y], zoom), look, g.ids);
      }
      for (const [key, mark] of this.marks) if (!seen.has(key)) { mark.remove(); this.marks.delete(key); }
      this.roam();
      this.land();
      if (seen.size && !this.drawn) this.drawn = performance.mark("lamppost-drawn"); // for who measures
    },
    put(key, at, look, ids) {
      let mark = this.marks.get(key);
      if (!mark) {
        mark = L.marker(at, { keyboard: false, icon: L.divIcon({ className: "", html: "", iconSize: null }) });
        mark.addTo(this.map);
        const button = document.createElement("button");
        button.type = "button";
        button.tabIndex = -1;
        button.addEventListener("click", (event) => { event.stopPropagation(); this.press(mark); });
        button.addEventListener("keydown", (event) => this.keys(event, mark));
        mark.getElement().append(button);
        mark.button = button;
        this.marks.set(key, mark);
      }
      mark.ids = ids;
      if (!mark.getLatLng().equals(at)) mark.setLatLng(at);
      const { button } = mark;
      const css = `mark-box ${look.css} ${look.picked ? "picked" : ""}`;
      if (button.className !== css) button.className = css;
      if (mark.html !== look.html) button.innerHTML = mark.html = look.html;
      if (mark.words !== look.words) {
        button.setAttribute("aria-label", look.words);
        button.title = mark.words = look.words;
      }
      if (mark.size !== look.size) {
        button.style.margin = `${-look.size / 2}px 0 0 ${-look.size / 2}px`;
        mark.size = look.size;
      }
      mark.setZIndexOffset(look.picked ? 2000 : ids.length > 1 ? 1000 : 0);
    },
    press(mark) {
      if (mark.ids.length === 1) return this.pick(mark.ids[0]);
      const at = mark.ids.map((id) => this.s.rows[id].place);
      const bounds = L.latLngBounds(at.map((p) => [p[0], p[1]]));
      if (this.map.getZoom() >= MAX_ZOOM || bounds.getNorthEast().distanceTo(bounds.getSouthWest()) < 5) {
        this.s.only = { words: `${plural(mark.ids.length, "lamppost")} at one spot`, ids: [...mark.ids] };
        say(`The list shows the ${plural(mark.ids.length, "lamppost")} of this spot`);
        return;
      }
      this.map.fitBounds(bounds, { padding: [60, 60], maxZoom: MAX_ZOOM });
      this.refocus = mark.ids[0];
    },
    // One tab stop for all marks; arrow keys go to the next one in that direction.
    roam() {
      const marks = [...this.marks.values()];
      const current = marks.find((m) => m.button === document.activeElement) ?? marks.find((m) => m.ids.includes(this.refocus ?? this.s.picked)) ?? marks[0];
      for (const m of marks) m.button.tabIndex = m === current ? 0 : -1;
      if (this.refocus && current && document.activeElement === document.body) current.button.focus();
      this.refocus = null;
    },
    keys(event, mark) {
      const go = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!go) return;
      event.preventDefault();
      event.stopPropagation();
      const from = this.map.latLngToContainerPoint(mark.getLatLng());
      let best = null, least = Infinity;
      for (const other of this.marks.values()) {
        const to = this.map.latLngToContainerPoint(other.getLatLng()), dx = to.x - from.x, dy = to.y - from.y;
        const along = dx * go[0] + dy * go[1], aside = Math.abs(dx * go[1]) + Math.abs(dy * go[0]);
        if (other !== mark && along > 0 && along + 2 * aside < least) [best, least] = [other, along + 2 * aside];
      }
      if (!best) return;
      mark.button.tabIndex = -1;
      best.button.tabIndex = 0;
      best.button.focus();
    },
    // Districts as quiet ground under the marks, with their names. Drawn anew only when a place or a district changed.
    land() {
      const groups = new Map();
      for (const r of this.rows) if (r.place && r.district) groups.set(r.district, [...(groups.get(r.district) ?? []), [r.place[0], r.place[1]]]);
      const hulls = [...groups].map(([name, at]) => [name, hull(at)]);
      const shape = JSON.stringify([this.map.getZoom(), hulls]);
      if (shape === this.shape) return;
      this.shape = shape;
      this.ground.clearLayers();
      const named = [];
      for (const [name, at] of hulls) {
        const style = { pane: "districts", interactive: false, className: "district-ground", weight: 54, lineJoin: "round", lineCap: "round" };
        (at.length < 3 ? L.polyline(at.length === 1 ? [at[0], at[0]] : at, style) : L.polygon(at, { ...style, fill: true, fillOpacity: 1 })).addTo(this.ground);
        const north = at.reduce((a, p) => (p[0] > a[0] ? p : a));
        const spot = this.map.project(north);
        if (named.some((p) => Math.abs(p.x - spot.x) < 110 && Math.abs(p.y - spot.y) < 22)) continue; // names would lie over each other
        named.push(spot);
        const label = document.createElement("span");
        label.textContent = name;
        L.marker(north, { pane: "names", interactive: false, keyboard: false, icon: L.divIcon({ className: "district-name", html: label, iconSize: null }) }).addTo(this.ground);
      }
    },
  },
  created() { this.marks = new Map(); },
  mounted() {
    const map = L.map(this.$refs.map, { zoomControl: false, attributionControl: false, maxZoom: MAX_ZOOM, minZoom: 2, zoomSnap: this.s.tiles.address ? 1 : 0.5, worldCopyJump: false, renderer: L.svg({ padding: 0.5 }) });
    this.map = markRaw(map);
    for (const [name, z] of [["districts", 250], ["graticule", 260], ["names", 640]]) {
      const pane = map.createPane(name);
      pane.style.zIndex = z;
      pane.style.pointerEvents = "none";
      pane.setAttribute("aria-hidden", "true");
    }
    this.ground = markRaw(L.layerGroup().addTo(map));
    const grid = markRaw(L.layerGroup().addTo(map));
    L.control.zoom({ position: "topright" }).addTo(map);
    L.control.scale({ position: "bottomright", imperial: false, maxWidth: 140 }).addTo(map);
    const { address, attribution } = this.s.tiles;
    if (address) {
      L.tileLayer(address, { maxZoom: MAX_ZOOM, referrerPolicy: "same-origin" }).addTo(map);
      const words = document.createElement("span");
      words.textContent = attribution;
      L.control.attribution({ prefix: false }).addAttribution(words.innerHTML).addTo(map);
    } else map.on("moveend", () => drawGraticule(L, map, grid));
    map.on("zoomend moveend", () => this.schedule());
    map.on("zoomstart", () => { const b = document.activeElement; for (const m of this.marks.values()) if (m.button === b) this.refocus = m.ids[0]; });
    this.fit();
    this.resizes = new ResizeObserver(() => { map.invalidateSize({ animate: false, pan: true }); this.schedule(); if (!address) drawGraticule(L, map, grid); });
    this.resizes.observe(this.$refs.map);
    window.lamppost.map = map;
    this.gone = [
      shortcut("0", "Show the whole city", () => this.fit()),
      shortcut("c", "Colour by the other index", () => this.choose(this.s.kinds.find((k) => k.key !== this.s.index).key)),
    ];
  },
  beforeUnmount() {
    for (const gone of this.gone) gone();
    this.resizes.disconnect();
    this.map.remove();
  },
};
