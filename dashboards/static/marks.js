// What stands on the map for a lamppost or a cluster: shape and number tell, colour repeats.
// full = fresh, hollow = stale or never heard, triangle = something is wrong, ring = in an open incident.
import { plural, presence } from "/assets/words.js";

const TRIANGLE = '<path class="badge" d="M26 1.5 33 13.5H19z"/><path class="badge-ink" d="M26 5.6v4M26 10.8v1.2"/>';
export const FAULTY = (r) => r.worst === "error" || r.worst === "warning";
export const HOLLOW = (r) => r.fresh === "stale" || r.fresh === "none";

const short = (value) => (value > 999 ? "999+" : value);

export function postMark(r, index) {
  const now = r[index];
  const text = now ? short(now[0]) : "–";
  const ring = r.incident ? '<circle class="ring" cx="18" cy="18" r="16.2"/>' : "";
  const body = r.place[2] ? '<rect class="body" x="5.5" y="5.5" width="25" height="25" rx="7"/>' : '<circle class="body" cx="18" cy="18" r="12.5"/>';
  return {
    size: 36,
    css: `post l${now ? now[1] : 0} ${HOLLOW(r) ? "hollow" : ""} ${r.fresh === "late" ? "late" : ""}`,
    html: `<svg viewBox="0 0 36 36" width="36" height="36" aria-hidden="true">${ring}${body}<text x="18" y="18.5">${text}</text>${FAULTY(r) ? TRIANGLE : ""}</svg>`,
  };
}

export function clusterMark(rows, index) {
  const told = summary(rows, index);
  const size = rows.length < 10 ? 42 : rows.length < 50 ? 50 : rows.length < 200 ? 58 : 66;
  const c = size / 2, r = c - 5;
  let at = 0;
  const arcs = told.levels.map((n, level) => {
    if (!n) return "";
    const share = n / rows.length, length = 2 * Math.PI * r;
    const arc = `<circle class="arc l${level}" cx="${c}" cy="${c}" r="${r}" stroke-dasharray="${share * length} ${length}" stroke-dashoffset="${-at * length}" transform="rotate(-90 ${c} ${c})"/>`;
    at += share;
    return arc;
  });
  const ring = told.incidents ? `<circle class="ring" cx="${c}" cy="${c}" r="${c - 1.3}"/>` : "";
  const badge = told.faults ? `<g transform="translate(${size - 35} 0)">${TRIANGLE}</g>` : "";
  return {
    size,
    css: `cluster l${told.worst} ${told.hollow === rows.length ? "hollow" : ""}`,
    html: `<svg viewBox="0 0 ${size} ${size}" width="${size}" height="${size}" aria-hidden="true"><circle class="ground" cx="${c}" cy="${c}" r="${c - 2}"/>${ring}${arcs.join("")}<circle class="body" cx="${c}" cy="${c}" r="${r - 5.5}"/><text x="${c}" y="${c + 0.5}">${rows.length}</text>${badge}</svg>`,
  };
}

export function summary(rows, index) {
  const levels = Array(7).fill(0);
  let faults = 0, incidents = 0, hollow = 0, least = Infinity, most = -Infinity;
  for (const r of rows) {
    const now = r[index];
    levels[now ? now[1] : 0] += 1;
    if (now) [least, most] = [Math.min(least, now[0]), Math.max(most, now[0])];
    faults += FAULTY(r);
    incidents += Boolean(r.incident);
    hollow += HOLLOW(r);
  }
  return { levels, faults, incidents, hollow, least, most, worst: levels.findLastIndex((n, i) => i > 0 && n > 0) === -1 ? 0 : levels.findLastIndex((n) => n > 0) };
}

export function postWords(r, index, kind) {
  const now = r[index];
  const parts = [r.name, now ? `${kind.short} ${now[0]}, ${kind.bands[now[1] - 1].name}` : "no index yet"];
  parts.push(r.fresh === "none" ? "never heard" : `data ${r.fresh}`, presence(r.presence));
  if (FAULTY(r)) parts.push(plural(r.conditions, "open condition"));
  if (r.incident) parts.push("in an open incident");
  return parts.join(", ");
}

export function clusterWords(rows, index, kind) {
  const t = summary(rows, index);
  const parts = [plural(rows.length, "lamppost")];
  parts.push(t.worst ? `${kind.short} ${t.least === t.most ? t.least : `${t.least} to ${t.most}`}, worst ${kind.bands[t.worst - 1].name}` : "no index yet");
  if (t.faults) parts.push(`${t.faults} with open conditions`);
  if (t.incidents) parts.push(`${t.incidents} in open incidents`);
  if (t.hollow) parts.push(`${t.hollow} stale or never heard`);
  return parts.join(", ");
}
