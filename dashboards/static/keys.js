// The keyboard of a page: one listener, and what `?` tells of it. Keys do nothing while somebody types.
import { reactive } from "vue";

export const shortcuts = reactive([]); // {keys: ["g", "m"], words, act}
let before = { key: "", at: 0 };
const SEQUENCE_MS = 1200; // between the keys of "g m"

// Returns a function that takes it away again. `words` says what it does; without `act` it is told only.
export function shortcut(keys, words, act) {
  const entry = { keys: keys.split(" "), words, act };
  shortcuts.push(entry);
  return () => shortcuts.splice(shortcuts.findIndex((s) => s.words === words && s.keys.join() === entry.keys.join()), 1);
}

const typing = (target) => target.closest?.("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return;
  if (document.querySelector("dialog[open]")) return; // it has its own
  const first = event.timeStamp - before.at < SEQUENCE_MS ? before.key : "";
  const found =
    shortcuts.find((s) => s.act && s.keys.length === 2 && s.keys[0] === first && s.keys[1] === event.key) ??
    shortcuts.find((s) => s.act && s.keys.length === 1 && s.keys[0] === event.key);
  before = { key: event.key, at: event.timeStamp };
  if (!found) return;
  event.preventDefault();
  found.act(event);
});
