// A quiet grid of meridians and parallels, for a map without tiles: it tells that the map moves, and how far.
const STEPS = [45, 30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const WIDE_PX = 170; // between two lines, at least

const degrees = (value, step, [plus, minus]) =>
  `${Math.abs(value).toFixed(Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)))}°${value === 0 ? "" : value > 0 ? plus : minus}`;

// Draws into `group` (an L.layerGroup) for what the map shows now.
export function drawGraticule(L, map, group) {
  group.clearLayers();
  const size = map.getSize();
  if (!size.x || !size.y) return;
  const b = map.getBounds();
  const perPx = (b.getEast() - b.getWest()) / size.x;
  const step = STEPS.findLast((s) => s / perPx >= WIDE_PX) ?? STEPS[0];
  const style = { pane: "graticule", interactive: false, className: "graticule", weight: 1 };
  const label = (at, text, css) =>
    L.marker(at, { pane: "graticule", interactive: false, keyboard: false, icon: L.divIcon({ className: `degree ${css}`, html: text, iconSize: null }) }).addTo(group);
  const lines = (from, to) => {
    const values = [];
    for (let i = Math.ceil(from / step); i * step <= to; i++) values.push(i * step);
    return values;
  };
  const pad = b.pad(0.5); // so that a drag does not show the lines' ends
  for (const lon of lines(pad.getWest(), pad.getEast())) {
    L.polyline([[pad.getSouth(), lon], [pad.getNorth(), lon]], style).addTo(group);
    if (lon > b.getWest() && lon < b.getEast()) label([b.getNorth(), lon], degrees(lon, step, ["E", "W"]), "north");
  }
  for (const lat of lines(Math.max(pad.getSouth(), -85), Math.min(pad.getNorth(), 85))) {
    L.polyline([[lat, pad.getWest()], [lat, pad.getEast()]], style).addTo(group);
    if (lat > b.getSouth() && lat < b.getNorth()) label([lat, b.getWest()], degrees(lat, step, ["N", "S"]), "east");
  }
}
