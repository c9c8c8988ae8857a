// How the map's page takes what it is sent: the whole roll, or what changed of it, column by column.
import { store, take } from "/assets/store.js";

Object.assign(store, { rolled: 0, only: null, missing: "", districts: [], conditions: [], course: null });
const rolled = () => (store.rolled += 1); // one redraw for a message, however many cells it brought

take("roll", (rows) => { store.rows = Object.fromEntries(rows.map((row) => [row.id, row])); rolled(); });
take("rows", (rows) => { for (const row of rows) store.rows[row.id] = row; rolled(); });
take("gone", (ids) => { for (const id of ids) delete store.rows[id]; rolled(); });
take("cells", (cells) => {
  for (const [name, [ids, values]] of Object.entries(cells)) ids.forEach((id, i) => (store.rows[id][name] = values[i]));
  rolled();
});

const SHORT = { us: "US AQI", eu: "EU EAQI" };
export const kindOf = (s) => {
  const kind = s.kinds.find((k) => k.key === s.index) ?? s.kinds[0];
  return { ...kind, short: SHORT[kind.key] ?? kind.title };
};
