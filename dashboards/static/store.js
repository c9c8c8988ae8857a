// What the page knows, in one reactive object. The server sends changes only (`apply`); the views read.
import { reactive } from "vue";

const seed = JSON.parse(document.getElementById("lamppost-seed")?.textContent ?? "{}");

export const store = reactive({
  city: "",
  operator: "",
  areas: [], // the navigation
  more: [], // and what is behind "More"
  approvals: null, // how many requests wait for this person; null where they decide none
  area: "", // which of it this page is
  may: {}, // what this person may do; the server checks it again
  theme: localStorage.getItem("lamppost-colours") ?? "auto", // auto | light | dark; this browser's own affair
  now: Date.now(), // the street clock, ms
  speed: 1, // street seconds per second
  socket: true, // is this page connected to its server
  fault: null, // why the server cannot read its data, and since when (street clock, ms)
  incidents_open: null, // how many; null where nobody decides about incidents
  pending: [],
  used_twice: [], // claims; for who decides
  said: "", // what the live region says
  // of the pages with lampposts
  rows: {}, // by id
  loaded: false, // has a first list arrived
  picked: null, // id of the picked lamppost
  ...seed,
});

let heard = { street: store.now, at: performance.now() };
const takers = {}; // names of a message that are not put into the store as they are

// A page's own way to take a message's part: `take("rows", (rows) => ...)`.
export const take = (name, how) => (takers[name] = how);

export function apply(message) {
  const { now, speed, ...rest } = message;
  if (now !== undefined) {
    heard = { street: now, at: performance.now() };
    store.now = now;
    store.speed = speed;
  }
  for (const [name, value] of Object.entries(rest)) (takers[name] ?? ((v) => (store[name] = v)))(value);
}

// A reload, or a link sent to a colleague, shows the same: what is null or "" is left out of the address.
export function remember(query) {
  const told = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(told).toString();
  history.replaceState(null, "", location.pathname + (text && `?${text}`));
}

// For who cannot see what changed: one sentence, politely, in the page's live region.
export function say(text) {
  store.said = store.said === text ? `${text}\u00a0` : text; // the same sentence twice is read twice
}

// Between messages the street clock runs on by itself, so that ages stay true.
setInterval(() => {
  if (store.socket) store.now = heard.street + Math.round((performance.now() - heard.at) * store.speed);
}, 1000);

// The page's own connection: NiceGUI's socket exists once its application is mounted.
const watch = setInterval(() => {
  if (!window.socket) return;
  clearInterval(watch);
  window.socket.on("connect", () => (store.socket = true));
  window.socket.on("disconnect", () => (store.socket = false));
}, 50);

window.lamppost = { apply, store };
