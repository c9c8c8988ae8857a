// What the page knows, in one reactive object. The server sends changes only (`apply`); the views read.
import { reactive } from "vue";

const seed = JSON.parse(document.getElementById("lamppost-seed")?.textContent ?? "{}");

export const store = reactive({
  city: seed.city ?? "",
  operator: seed.operator ?? "",
  may: seed.may ?? {}, // what this person may do; the server checks it again
  theme: localStorage.getItem("lamppost-colours") ?? "auto", // auto | light | dark; this browser's own affair
  now: seed.now ?? Date.now(), // the street clock, ms
  speed: seed.speed ?? 1, // street seconds per second
  socket: true, // is this page connected to its server
  fault: null, // why the server cannot read its data, and since when (street clock, ms)
  rows: {}, // lampposts by id
  loaded: false, // has a first list arrived
  picked: null, // id of the picked lamppost
  detail: null,
  channel: null,
  range: seed.range ?? "6h",
  ranges: seed.ranges ?? [],
  chart: null, // columns of the chart; replaced or grown, never changed in place
  pending: [],
  narrow: "list", // which half a narrow screen shows
});

let heard = { street: store.now, at: performance.now() };

export function apply(message) {
  if (message.now !== undefined) {
    heard = { street: message.now, at: performance.now() };
    store.now = message.now;
    store.speed = message.speed;
  }
  if ("fault" in message) store.fault = message.fault;
  for (const row of message.rows ?? []) store.rows[row.id] = row;
  for (const id of message.gone ?? []) delete store.rows[id];
  if (message.loaded) store.loaded = true;
  if ("picked" in message) store.picked = message.picked;
  if ("detail" in message) store.detail = message.detail;
  if ("channel" in message) store.channel = message.channel;
  if ("range" in message) store.range = message.range;
  if ("pending" in message) store.pending = message.pending;
  if ("chart" in message) store.chart = message.chart;
  if (message.grow && store.chart?.key === message.grow.key) store.chart = grown(store.chart, message.grow);
  if ("picked" in message || "range" in message || "channel" in message) remember();
}

// New points replace what is at or after their first instant: a running rollup bucket is sent again as it fills.
function grown(chart, more) {
  const columns = ["t", "v", "lo", "hi", "flag"];
  const keep = more.t.length ? chart.t.findLastIndex((t) => t < more.t[0]) + 1 : chart.t.length;
  const first = chart.t.findIndex((t) => t >= more.from);
  const next = { ...chart, from: more.from, to: more.to };
  for (const name of columns) next[name] = chart[name].slice(Math.max(first, 0), keep).concat(more[name]);
  return next;
}

// A reload, or a link sent to a colleague, shows the same lamppost, channel and range.
function remember() {
  const query = new URLSearchParams();
  const row = store.rows[store.picked];
  if (row) query.set("lamppost", row.address);
  if (store.channel !== null) query.set("series", store.channel);
  query.set("range", store.range);
  history.replaceState(null, "", `${location.pathname}?${query}`);
}

// Between messages the street clock runs on by itself, so that ages stay true.
setInterval(() => {
  if (store.socket) store.now = heard.street + (performance.now() - heard.at) * store.speed;
}, 1000);

// The page's own connection: NiceGUI's socket exists once its application is mounted.
const watch = setInterval(() => {
  if (!window.socket) return;
  clearInterval(watch);
  window.socket.on("connect", () => (store.socket = true));
  window.socket.on("disconnect", () => (store.socket = false));
}, 50);

window.lamppost = { apply, store };
