// Points that would lie over each other become one cluster. Pure: pixels in, groups out, the same for the same points.

// points: [{id, x, y}]; radius in px. -> [{x, y, ids}], x and y the middle of the members.
export function clusters(points, radius) {
  const cells = new Map(), found = [];
  const key = (cx, cy) => cx * 1e6 + cy;
  for (const p of points) {
    const cx = Math.floor(p.x / radius), cy = Math.floor(p.y / radius);
    let best = null, least = radius * radius;
    for (let dx = -1; dx <= 1; dx++)
      for (let dy = -1; dy <= 1; dy++)
        for (const g of cells.get(key(cx + dx, cy + dy)) ?? []) {
          const far = (g.seed.x - p.x) ** 2 + (g.seed.y - p.y) ** 2;
          if (far < least) [best, least] = [g, far];
        }
    if (best) {
      best.ids.push(p.id);
      best.sx += p.x;
      best.sy += p.y;
      continue;
    }
    const made = { seed: p, ids: [p.id], sx: p.x, sy: p.y };
    found.push(made);
    const at = key(cx, cy);
    if (cells.has(at)) cells.get(at).push(made);
    else cells.set(at, [made]);
  }
  return found.map((g) => ({ x: g.sx / g.ids.length, y: g.sy / g.ids.length, ids: g.ids }));
}

// The convex hull (Andrew's monotone chain) of [[x, y]].
export function hull(points) {
  const p = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (p.length < 3) return p;
  const cross = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) => {
    const chain = [];
    for (const q of list) {
      while (chain.length >= 2 && cross(chain.at(-2), chain.at(-1), q) <= 0) chain.pop();
      chain.push(q);
    }
    return chain.slice(0, -1);
  };
  return [...half(p), ...half(p.reverse())];
}
