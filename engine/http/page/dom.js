// Elements are made here, and text from the daemon becomes text nodes only: nothing of it is ever read as markup.

const svg_namespace = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

export function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(svg_namespace, tag), attributes, children);
}

export const id = (name) => document.getElementById(name);

// Sets what changed alone, so that a screen reader or a selection is not disturbed once a second.
export function text(element, value) {
  const wanted = String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
  return element;
}

export function classes(element, all, chosen) {
  for (const name of all) element.classList.toggle(name, name === chosen);
}

// Replaces an element's children when `key` (whatever they are made of) has changed; true when it did.
export function renew(element, key, make) {
  const now = JSON.stringify(key);
  if (element.key_ === now) return false;
  const had_focus = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  element.key_ = now;
  element.replaceChildren(...[make()].flat(Infinity));
  if (had_focus) for (const one of element.querySelectorAll("[data-focus]")) if (one.dataset.focus === had_focus) one.focus();
  return true;
}

const whole = new Intl.NumberFormat("en");
export const number = (value) => whole.format(Math.round(value));

export function short(value) {
  if (value < 1000) return value < 10 && value % 1 !== 0 ? value.toFixed(1) : String(Math.round(value));
  for (const [limit, unit] of [[1e6, "k"], [1e9, "M"], [1e12, "G"]])
    if (value < limit) return (value / (limit / 1000)).toPrecision(3).replace(/\.?0+$/, (tail) => (tail.includes(".") ? "" : tail)) + unit;
  return value.toExponential(1);
}

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// "23:59:02", as pfctl writes it.
export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  return [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60].map((part) => String(part).padStart(2, "0")).join(":");
}

// Of DPDK's name of a device what tells it from others: its options do not.
export const device = (name) => name.split(",", 1)[0];

// The clock time of something that was so many seconds ago, and its date unless that is today's.
export function moment(seconds_ago) {
  const then = new Date(Date.now() - seconds_ago * 1000);
  const time = then.toLocaleTimeString("en-GB");
  return then.toDateString() === new Date().toDateString() ? time : `${then.toLocaleDateString("en-CA")} ${time}`;
}

export function microseconds(us) {
  if (us < 1000) return `${us} µs`;
  return us < 1e6 ? `${(us / 1000).toPrecision(3)} ms` : `${(us / 1e6).toPrecision(3)} s`;
}

export const badge = (word, kind) => el("span", { class: `badge ${kind}` }, word);

export function table(caption, heads, rows, options = {}) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: options.class },
      el("caption", { class: "unseen" }, caption),
      el("thead", null, el("tr", null, heads.map((head) => el("th", { scope: "col", class: head.class }, head.text ?? head)))),
      el("tbody", null, rows)));
}

// Arrow keys, Home and End move between the rows of a table body; one row at a time can be reached by Tab.
export function navigable(body) {
  body.addEventListener("keydown", (event) => {
    const rows = [...body.rows];
    const at = rows.indexOf(event.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || at < 0 || !rows[to]) return;
    event.preventDefault();
    rows[at].tabIndex = -1;
    rows[to].tabIndex = 0;
    rows[to].focus();
  });
}
