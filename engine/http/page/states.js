// States: the table as pfctl -ss shows it, page by page, filtered on the daemon in bounded steps.
import { clock, el, id, navigable, number, short, table, text } from "./dom.js";
import { patiently, Refused, show } from "./api.js";
import { carry_out, confirmed, note } from "./operator.js";

const page_rows = 50;
const examples = ["10.0.0.5", "net 192.168.0.0/16 port 443", "src 10.0.0.5 dst port 53 udp", "on em0", "creator 97bc0c81"];
const head = (name) => ({ "data-head": name });

// "10.1.0.5:40000 (192.0.2.1:61000) -> 203.0.113.9:443", of the line that pfctl -ss prints.
function flow_of(state) {
  const line = state.text.split("\n", 1)[0];
  return line.slice(state.interface.length + state.protocol.length + 2).split(/\s{2,}/)[0];
}

const kill_by_id = (state) => carry_out({ command: "kill", id: state.id });

export function states_view() {
  const input = el("input", { id: "filter", name: "filter", type: "search", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: "400",
    placeholder: "host, net, port, src, dst, proto, on, creator, id", "aria-describedby": "filter-help" });
  const wrong = el("p", { class: "error", role: "alert", hidden: true });
  const kill_all = el("button", { type: "button", class: "danger", hidden: true }, "Kill all that fit…");
  const bar = el("progress", { max: "1", value: "0", "aria-label": "Part of the table looked at" });
  const scanned = el("span");
  const stop = el("button", { type: "button", class: "small" }, "Stop");
  const scan = el("div", { class: "scan", hidden: true }, el("p", null, scanned, stop), bar);
  const body = el("div");
  const total = el("p", null, " ");
  const where = el("span", { role: "status", "aria-live": "polite" });
  const previous = el("button", { type: "button", class: "small" }, "Previous");
  const next = el("button", { type: "button", class: "small" }, "Next");
  const again = el("button", { type: "button", class: "small" }, "Refresh");

  let filter = "";
  let starts = [null];  // the cursor of each page that was seen
  let at = 0;
  let after = null;     // the cursor of the next page
  let run = 0;          // the number of the walk that may draw
  let closed = false;
  let loaded = false;
  let loading = false;

  const word_of = (cursor) => (cursor ? `${cursor.shard}.${cursor.slot}` : null);

  function row(state) {
    const flow = flow_of(state);
    const kill = el("button", { type: "button", class: "small danger", tabindex: "-1", "aria-label": `Kill the state ${flow}` }, "Kill");
    const line = el("tr", { "data-id": state.id, title: "Enter: all about it. Del: kill it." },
      el("td", head("Interface"), el("span", null, state.interface)),
      el("td", head("Protocol"), el("span", null, state.protocol)),
      el("td", { class: "flow", ...head("Connection") }, el("span", null, flow)),
      el("td", head("Levels"), el("span", null, state.levels)),
      el("td", { class: "number nowrap", ...head("Age") }, el("span", null, clock(state.age_s))),
      el("td", { class: "number nowrap", ...head("Expires") }, el("span", null, clock(state.expires_s))),
      el("td", { class: "number nowrap", ...head("Packets") }, el("span", { title: state.packets.map(number).join(" : ") }, state.packets.map(short).join(" : "))),
      el("td", { class: "number nowrap", ...head("Bytes") }, el("span", { title: state.bytes.map(number).join(" : ") }, state.bytes.map(short).join(" : "))),
      el("td", { class: "end" }, kill));
    const all = () => {
      if (line.nextSibling?.classList.contains("more")) return line.nextSibling.remove();
      line.after(el("tr", { class: "more" }, el("td", { colspan: "9" }, el("pre", null, state.text.trimEnd()))));
    };
    const ask = async () => {
      if (!(await confirmed("Kill this state?", `${state.text.split("\n", 1)[0].replace(/\s+/g, " ")}\nIt is removed here and at the peers; the connection ends unless a rule lets it begin anew.`, "Kill the state"))) return;
      const answer = await kill_by_id(state);
      if (answer === null) return;
      if (line.nextSibling?.classList.contains("more")) line.nextSibling.remove();
      (line.nextSibling ?? line.previousSibling)?.focus?.();
      line.remove();
    };
    kill.addEventListener("click", (event) => {
      event.stopPropagation();
      ask();
    });
    line.addEventListener("click", () => String(getSelection()) === "" && all());
    line.addEventListener("keydown", (event) => {
      if (event.target !== line) return;
      if (event.key === "Enter") all();
      else if (event.key === "Delete") ask();
    });
    return line;
  }

  function draw(states, ended, stopped) {
    const rows = states.map(row);
    if (rows.length === 0)
      body.replaceChildren(el("p", { class: "empty" }, stopped ? "Stopped; nothing was found so far." : filter ? "No state fits this filter." : "There is no state."));
    else {
      body.replaceChildren(table("States", ["Interface", "Protocol", "Connection", "Levels", { text: "Age", class: "number" }, { text: "Expires", class: "number" },
        { text: "Packets", class: "number" }, { text: "Bytes", class: "number" }, { text: "", class: "end" }], rows, { class: "cards states" }));
      for (const one of rows) one.tabIndex = -1;
      rows[0].tabIndex = 0;
      navigable(body.querySelector("tbody"));
    }
    previous.disabled = at === 0;
    next.disabled = ended;
    text(where, rows.length === 0 ? "" : `Page ${at + 1}, ${number(rows.length)} ${rows.length === 1 ? "state" : "states"}${ended ? ", the last" : ""}`);
  }

  function pausing(error) {
    scan.hidden = false;
    text(scanned, `Waiting to go on: ${error.message}`);
  }

  // One page: as many short requests as it takes to fill it or to reach the end.
  async function load() {
    const mine = ++run;
    loading = true;
    const states = [];
    let cursor = starts[at];
    let progress = null;
    const began = performance.now();
    wrong.hidden = true;
    do {
      let page;
      try {
        const step = () => show("states", { filter: filter ? ` ${filter}` : "", limit: page_rows - states.length, cursor: word_of(cursor) });
        page = await patiently(step, () => mine !== run || closed, pausing);
      } catch (error) {
        if (mine !== run || closed) return;
        scan.hidden = true;
        loading = false;
        loaded = error instanceof Refused && error.status === 400;  // else it is tried again
        text(wrong, `${error.message}.`);
        wrong.hidden = false;
        return;
      }
      if (mine !== run || closed) return;
      states.push(...page.states);
      cursor = page.cursor;
      progress = page.progress;
      if (performance.now() - began > 300 && cursor !== null && states.length < page_rows) {
        scan.hidden = false;
        bar.value = progress.of ? progress.at / progress.of : 1;
        text(scanned, `Looked at ${number(progress.at)} of ${number(progress.of)} places, ${number(states.length)} found`);
      }
    } while (cursor !== null && states.length < page_rows);
    finish(states, cursor, false);
  }

  function finish(states, cursor, stopped) {
    scan.hidden = true;
    loading = false;
    loaded = true;
    after = cursor;
    draw(states, cursor === null, stopped);
  }

  function start(wanted) {
    filter = wanted.trim();
    starts = [null];
    at = 0;
    kill_all.hidden = filter === "";
    load();
  }

  async function kill_matching() {
    if (!(await confirmed("Kill all states that fit?", `Filter: ${filter}\nEach is removed here and at the peers.`, "Kill them all"))) return;
    const mine = ++run;
    let cursor = null;
    let killed = 0;
    let broken_off = false;
    do {
      const answer = await carry_out({ command: "kill", filter, ...(cursor ? { cursor } : {}) }, { quiet: true, is_over: () => mine !== run || closed, pausing });
      broken_off = answer === null;
      if (broken_off || closed) break;
      killed += answer.states;
      cursor = answer.cursor;
      scan.hidden = false;
      bar.value = answer.progress.of ? answer.progress.at / answer.progress.of : 1;
      text(scanned, `Looked at ${number(answer.progress.at)} of ${number(answer.progress.of)} places, ${number(killed)} killed`);
    } while (cursor !== null && mine === run);
    scan.hidden = true;
    note(`${number(killed)} ${killed === 1 ? "state" : "states"} killed${broken_off ? ", then it broke off" : ""}`, broken_off ? "bad" : "done");
    start(filter);
  }

  const go = (step) => {
    if (step > 0 && after !== null) starts[at + 1] = after;
    if (!(starts[at + step] !== undefined)) return;
    at += step;
    load();
  };
  next.addEventListener("click", () => go(1));
  previous.addEventListener("click", () => go(-1));
  again.addEventListener("click", load);
  kill_all.addEventListener("click", kill_matching);
  stop.addEventListener("click", () => {
    ++run;
    loading = false;
    loaded = true;
    scan.hidden = true;
    text(where, "Stopped before the end");
  });

  const form = el("form", { class: "filter", role: "search", onsubmit: (event) => {
    event.preventDefault();
    start(input.value);
  } }, el("label", null, "Filter", input), el("button", { type: "submit", class: "main" }, "Show"), kill_all);

  previous.disabled = next.disabled = true;
  return {
    title: "States",
    elements: [
      el("div", { class: "head" }, el("div", null, el("h1", null, "States"), total)),
      el("section", { class: "card", "aria-label": "Filter" }, form, wrong,
        el("p", { class: "muted", id: "filter-help" }, "Words of pfctl and tcpdump, such as ", examples.flatMap((one, i) => [i ? ", " : "", el("code", null, one)]), ". Every term must fit."), scan),
      el("section", { class: "card flush", "aria-label": "States that fit" }, body, el("div", { class: "pager" }, where, el("span", { class: "actions" }, again, previous, next))),
    ],
    look(status) {
      text(total, `${number(status.states)} of at most ${number(status.states_max)} in the table.`);
      if (!loaded && !loading) load();
    },
    key(key) {
      if (key === "/") id("filter").focus();
      else if (key === "n") go(1);
      else if (key === "p") go(-1);
    },
    close() {
      closed = true;
    },
  };
}
