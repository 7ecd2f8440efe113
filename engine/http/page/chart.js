// Lines over the last minutes, drawn as SVG: no library, colours by the style sheet, values under the pointer.
import { el, short, svg, text } from "./dom.js";

const width = 600;
const height = 150;
const names = ["one", "two", "three"];

// The next round number at or above: 1, 2 or 5 times a power of ten.
function round_up(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}

// `series`: names, at most three. `form`: how a value is written. Values are given a look at a time; null: not known.
export function chart(title, series, { form = short, unit = "", points = 120, empty = "One moment" } = {}) {
  const history = series.map(() => []);
  const traces = series.map((_, i) => svg("path", { class: `trace ${names[i]}` }));
  const washes = series.map((_, i) => svg("path", { class: `wash ${names[i]}` }));
  const pointer = svg("line", { class: "at", y1: "0", y2: String(height), visibility: "hidden" });
  const values = series.map(() => el("b", null, "–"));
  const high = el("span");
  const middle = el("span", { class: "middle" });
  const low = el("span", { class: "low" });
  const ticks = el("div", { class: "ticks", "aria-hidden": "true" }, high, middle, low);
  const none = el("p", { class: "none" }, empty);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" },
    [0, 0.5, 1].map((part) => svg("line", { class: "grid", x1: "0", x2: String(width), y1: String(part * height), y2: String(part * height) })), washes, traces, pointer);
  const when = el("span", { class: "muted" });
  let shown = null;  // the point under the pointer

  const x_of = (i, length) => width - ((length - 1 - i) * width) / (points - 1);

  function draw() {
    const all = history.flat().filter((value) => value !== null);
    const top = round_up(Math.max(0, ...all));
    none.hidden = all.length > 0;
    text(high, all.length ? `${form(top)}${unit}` : "");
    text(middle, all.length ? `${form(top / 2)}${unit}` : "");
    text(low, all.length ? "0" : "");
    history.forEach((line, k) => {
      let path = "";
      let wash = "";
      let start = null;
      let last = null;
      line.forEach((value, i) => {
        if (value === null) {
          if (start !== null) wash += `L${last},${height}L${start},${height}Z`;
          start = null;
          return;
        }
        const x = x_of(i, line.length).toFixed(1);
        const y = (height - (value / top) * height).toFixed(1);
        const step = `${start === null ? "M" : "L"}${x},${y}`;
        path += step;
        wash += step;
        if (start === null) start = x;
        last = x;
      });
      if (start !== null) wash += `L${last},${height}L${start},${height}Z`;
      traces[k].setAttribute("d", path);
      washes[k].setAttribute("d", series.length === 1 || k === 0 ? wash : "");
    });
    const length = history[0].length;
    const at = shown !== null && shown < length ? shown : length - 1;
    values.forEach((value, k) => text(value, history[k][at] === null || history[k][at] === undefined ? "–" : `${form(history[k][at])}${unit}`));
    text(when, at === length - 1 || length === 0 ? "" : `${length - 1 - at} s ago`);
    pointer.setAttribute("visibility", at === length - 1 ? "hidden" : "visible");
    if (at >= 0) for (const end of ["x1", "x2"]) pointer.setAttribute(end, x_of(at, length).toFixed(1));
    picture.setAttribute("aria-label", `${title}: ${series.map((name, k) => `${name} ${values[k].textContent}`).join(", ")}`);
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const back = Math.round(((box.right - event.clientX) / box.width) * (points - 1));
    shown = Math.min(Math.max(history[0].length - 1 - back, 0), history[0].length - 1);
    draw();
  });
  picture.addEventListener("pointerleave", () => {
    shown = null;
    draw();
  });

  return {
    element: el("figure", { class: "card chart" }, el("div", { class: "head" }, el("h2", null, title), when), el("div", { class: "plot" }, picture, none, ticks),
      el("ul", { class: "legend" }, series.map((name, i) => el("li", null, el("i", { class: names[i], "aria-hidden": "true" }), name, values[i])))),
    add(next) {
      next.forEach((value, k) => {
        history[k].push(value);
        if (history[k].length > points) history[k].shift();
      });
      draw();
    },
  };
}
