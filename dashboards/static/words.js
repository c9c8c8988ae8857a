// Ages, clocks and the words of states. Every state has a word and a shape: colour only repeats them.

export function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 90) return `${s} s`;
  const min = Math.round(s / 60);
  if (min < 90) return `${min} min`;
  const h = Math.round(s / 3600);
  return h < 48 ? `${h} h` : `${Math.round(s / 86400)} d`;
}

const pad = (n) => String(n).padStart(2, "0");

export function clock(ms, seconds = true) {
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}${seconds ? `:${pad(d.getSeconds())}` : ""}`;
}

export function day(ms) {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

export const stamp = (ms) => (ms ? `${day(ms)} ${clock(ms)}` : "–");
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone;
// "CET", "GMT+5:30": short where the language has a name for it. It changes with summer time, so it takes the instant.
export const zoneName = (ms) =>
  new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(ms).find((p) => p.type === "timeZoneName")?.value ?? zone();
export const count = (n) => n.toLocaleString("en-GB").replaceAll(",", "\u202f");
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const PRESENCE = { online: "online", offline: "offline", never: "never seen" };
export const presence = (p) => PRESENCE[p] ?? p;

// 14 px marks, drawn with currentColor. Shapes differ: filled, hollow, dashed; triangle, octagon, circle.
const svg = (inner) =>
  `<svg class="mark" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true" focusable="false">${inner}</svg>`;
export const MARKS = {
  online: svg('<circle cx="7" cy="7" r="4.5" fill="currentColor"/>'),
  offline: svg('<circle cx="7" cy="7" r="4" fill="none" stroke="currentColor" stroke-width="1.6"/><path d="M3.2 10.8 10.8 3.2" stroke="currentColor" stroke-width="1.6"/>'),
  never: svg('<circle cx="7" cy="7" r="4.2" fill="none" stroke="currentColor" stroke-width="1.4" stroke-dasharray="2 2"/>'),
  error: svg('<path d="M4.4 1h5.2L13 4.4v5.2L9.6 13H4.4L1 9.6V4.4z" fill="currentColor"/><path d="M7 3.6v4.2M7 9.2v1.4" stroke="var(--surface)" stroke-width="1.7"/>'),
  warning: svg('<path d="M7 1.2 13.4 12.6H.6z" fill="currentColor"/><path d="M7 5v3.8M7 9.8v1.4" stroke="var(--surface)" stroke-width="1.5"/>'),
  info: svg('<circle cx="7" cy="7" r="6" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M7 6.2v4M7 3.6v1.5" stroke="currentColor" stroke-width="1.5"/>'),
  fresh: svg('<path d="m2.5 7.4 3 3 6-6.6" fill="none" stroke="currentColor" stroke-width="1.8"/>'),
  late: svg('<circle cx="7" cy="7" r="5.4" fill="none" stroke="currentColor" stroke-width="1.4"/><path d="M7 3.8V7l2.4 1.6" fill="none" stroke="currentColor" stroke-width="1.4"/>'),
  stale: svg('<path d="m3 3 8 8M11 3l-8 8" stroke="currentColor" stroke-width="1.8"/>'),
  incident: svg('<circle cx="7" cy="7" r="5.6" fill="none" stroke="currentColor" stroke-width="2"/><circle cx="7" cy="7" r="1.8" fill="currentColor"/>'),
  none: svg('<path d="M3.5 7h7" stroke="currentColor" stroke-width="1.6"/>'),
};

const TONE = { online: "ok", fresh: "ok", late: "warn", warning: "warn", stale: "bad", offline: "bad", error: "bad" };
export const tone = (state) => `tone-${TONE[state] ?? "quiet"}`;
