// High availability sync: who pushes its configuration to whom, what came of it, and what both nodes hold.
import { badge, device, el, moment, number, renew, table } from "./dom.js";
import { Refused, show } from "./api.js";
import { carry_out, confirmed, note } from "./operator.js";

const roles = { primary: "primary: pushes its configuration", secondary: "secondary: takes the configuration of the other", off: "off" };
const trusts = { authority: "certificates of one authority", paired: "paired", none: "none yet: pfsyncctl config pair" };
const order_patience_ms = 30_000;

const at = (unix_s) => (unix_s ? moment(Math.max(0, Date.now() / 1000 - unix_s)) : "never");
const dash = (value) => (value === null || value === undefined || value === "" ? "–" : String(value));
const mono = (value) => el("span", { class: "mono" }, dash(value));
const rows = (pairs) => el("dl", { class: "rows" }, pairs.filter(Boolean).map(([name, value]) => [el("dt", null, name), el("dd", null, value)]));
const sentence = (words) => (words.endsWith(".") ? words : `${words}.`);
const head = (name) => ({ "data-head": name });

export function sync_view() {
  const push = el("button", { type: "button", class: "main", id: "sync-push", disabled: true }, "Push now");
  const compare = el("button", { type: "button", id: "sync-compare", disabled: true }, "Compare");
  const alarms = el("div");
  const here = el("div");
  const last = el("div");
  const sections = el("div");
  const history = el("div");
  const ignored = el("div");
  const log = el("div");
  const states = el("div");
  const outcome = el("div", { role: "status", "aria-live": "polite" });
  const cards = [
    ["Configuration sync", here], ["Last push", last], ["Sections", sections], ["Generations", history], ["Received but not applied", ignored], ["Log", log],
  ].map(([title, body]) => el("section", { class: ["Sections", "Generations"].includes(title) ? "card flush" : "card", "aria-label": title }, el("h2", null, title), body));
  let sync = null;
  let refused = null;
  let compared = {};  // section → what the other node was found to hold

  async function wait_for(number) {
    const until = Date.now() + order_patience_ms;
    while (Date.now() < until) {
      sync = await show("config_sync");
      const result = sync.orders?.[String(number)];
      if (result) return result;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    throw new Refused("the order was taken, but has not ended within half a minute: the log tells more", 0);
  }

  // An order goes on after its answer; its end is told under its number.
  async function run(request, doing) {
    const answer = await carry_out(request, { quiet: true });
    if (answer === null) return;
    outcome.replaceChildren(el("p", { class: "say" }, `${doing}…`));
    try {
      const result = answer.order === undefined ? { ok: true, sentence: answer.sentence, lines: [] } : await wait_for(answer.order);
      outcome.replaceChildren(el("div", { class: `say ${result.ok ? "" : "bad"}` }, el("div", null, el("p", null, sentence(`${result.sentence[0].toUpperCase()}${result.sentence.slice(1)}`)),
        result.lines?.length ? el("ul", { class: "history" }, result.lines.map((line) => el("li", { class: "mono" }, line))) : null)));
      if (request.do === "diff") compared = Object.fromEntries((result.lines ?? []).map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]));
      if (sync) draw();
    } catch (error) {
      outcome.replaceChildren();
      note(error.message, "bad");
    }
  }

  push.addEventListener("click", () => run({ command: "config", do: "push" }, "The configuration is being pushed"));
  compare.addEventListener("click", () => run({ command: "config", do: "diff" }, "Both nodes are being compared"));

  async function roll_back({ generation, epoch }) {
    if (await confirmed(`Roll back to generation ${generation}?`, "Its shared sections come into force here and at the other node, as a new generation. The configuration file stays as it is.", "Roll back"))
      run({ command: "config", do: "rollback", generation, epoch }, `Rolling back to generation ${generation}`);
  }

  function section_row([name, digest], same) {
    const [found, ...words] = (compared[name] ?? (same ? "the same" : "not compared")).split("; ");
    return el("tr", null, el("td", head("Section"), name), el("td", head("Digest here"), el("span", { class: "mono", title: digest }, digest.slice(0, 12))),
      el("td", head("On the other node"), el("span", null, badge(found, found === "the same" ? "good" : found === "not compared" ? "" : "bad"), words.length ? el("span", { class: "sub" }, words.join("; ")) : null)));
  }

  function draw() {
    const primary = sync.role === "primary";
    const in_sync = sync.in_sync ?? null;
    push.disabled = !primary;
    compare.disabled = !sync.peer;
    const said = [...(sync.alarms ?? []), ...(sync.error && !(sync.alarms ?? []).some((one) => one.includes(sync.error)) ? [sync.error] : [])];
    renew(alarms, said, () => said.map((one) => el("p", { class: "say bad" }, sentence(`${one[0].toUpperCase()}${one.slice(1)}`))));
    const force = sync.in_force;
    const same = Boolean(force) && (sync.peer_digest ? sync.peer_digest === force.digest : in_sync === true);
    renew(here, [sync.role, sync.peer, sync.listen, sync.trust, force, in_sync, sync.staged, sync.unconfirmed, sync.pairing, same], () => rows([
      ["Role", roles[sync.role] ?? sync.role], ["Other node", mono(sync.peer)], sync.listen ? ["Listens at", mono(sync.listen)] : null, ["Trust", trusts[sync.trust] ?? dash(sync.trust)],
      ["In force", force ? `generation ${force.generation}, since ${at(force.time)}, from ${dash(force.source)}` : "nothing yet"],
      in_sync === null ? null : ["Both nodes", badge(in_sync ? "hold the same" : "not in step", in_sync ? "good" : "bad")],
      sync.staged || sync.unconfirmed ? ["On its way", sync.staged ? "a configuration is staged here" : "a configuration waits to be confirmed"] : null,
      sync.pairing?.code ? ["Pairing code", el("strong", { class: "mono" }, sync.pairing.code)] : null,
    ]));
    const pushed = sync.last_push ?? {};
    renew(last, [pushed, sync.error, primary], () => (!primary && !pushed.pushes ? el("p", { class: "empty" }, "This node pushes nothing: it takes what the primary sends.") : rows([
      ["When", pushed.time ? at(pushed.time) : "not yet"], ["Generation", force ? String(force.generation) : "–"],
      ["Sections", Object.keys(sync.sections ?? {}).join(", ") || "–"],
      ["Result", sync.error ? el("span", { class: "error", id: "sync-result" }, sentence(sync.error)) : el("span", { id: "sync-result" }, pushed.pushes ? "The other node has taken it." : "–")],
      ["So far", `${number(pushed.pushes ?? 0)} pushed, ${number(pushed.failures ?? 0)} failed`],
      pushed.warnings?.length ? ["Warnings", el("ul", { class: "history" }, pushed.warnings.map((one) => el("li", null, one)))] : null,
    ])));
    const own = Object.entries(sync.sections ?? {});
    renew(sections, [own, same, compared], () => (own.length === 0 ? el("p", { class: "empty" }, "No section is shared yet.")
      : table("Sections", ["Section", "Digest here", "On the other node"], own.map((one) => section_row(one, same)), { class: "cards" })));
    const kept = [...(sync.history ?? [])].sort((a, b) => b.epoch - a.epoch || b.generation - a.generation);
    renew(history, [kept, primary], () => (kept.length === 0 ? el("p", { class: "empty" }, "None is kept yet; the last 20 will be.")
      : table("Generations", ["Generation", "Epoch", { text: "", class: "end" }], kept.map((one) => el("tr", null, el("td", head("Generation"), String(one.generation)), el("td", head("Epoch"), String(one.epoch)),
        el("td", { class: "end" }, el("button", { type: "button", class: "small danger", "data-focus": `back ${one.generation} ${one.epoch}`, disabled: !primary, "aria-label": `Roll back to generation ${one.generation}`,
          onclick: () => roll_back(one) }, "Roll back…")))), { class: "cards" })));
    const compat = sync.compat;
    cards[4].hidden = !compat;
    if (compat)
      renew(ignored, compat, () => [rows([["From", compat.last ? `${compat.last.address}, ${compat.last.method}, ${at(compat.last.time)}` : "no firewall has called yet"],
        ["Calls", `${number(compat.calls)}, ${number(compat.refused)} refused`]]),
      el("p", { class: "muted" }, compat.received_but_not_applied?.length ? `Received but not applied here: ${compat.received_but_not_applied.join(", ")}.` : "Nothing was left out so far.")]);
    const lines = [...(sync.log ?? [])].reverse();
    renew(log, lines, () => (lines.length === 0 ? el("p", { class: "empty" }, "Nothing has happened yet.")
      : el("ul", { class: "history" }, lines.map((one) => el("li", { class: one.warning ? "error" : "" }, el("time", null, at(one.time)), one.sentence)))));
  }

  function draw_states(status) {
    const link = status.link;
    renew(states, [link, status.creatorid, status.peers.map((one) => [one.address, one.dialect, one.active])], () => rows([
      ["Synchronize interface", el("span", null, mono(device(link.device)), " ", badge(link.up ? "up" : "down", link.up ? "good" : "bad"))], ["Own address", mono(link.address)],
      ["Filter host id", mono(status.creatorid)], [link.multicast ? "Multicast group" : status.peers.length > 1 ? "Peers" : "Synchronize peer IP",
        el("div", null, status.peers.map((one) => el("div", null, mono(one.address), el("span", { class: "muted" }, ` dialect ${one.dialect}${one.active ? "" : ", spoken with by the master"}`))))]]));
  }

  return {
    title: "High availability sync",
    elements: [
      el("div", { class: "head" }, el("div", null, el("h1", null, "High availability sync"), el("p", null, "States by pfsync, and the configuration from the primary to the secondary.")), el("p", { class: "actions" }, compare, push)),
      outcome, alarms,
      el("div", { class: "columns" }, el("section", { class: "card", "aria-label": "State synchronization" }, el("h2", null, "State synchronization (pfsync)"), states), cards[0]),
      el("div", { class: "columns" }, cards[1], cards[4]),
      el("div", { class: "columns" }, cards[2], cards[3]), cards[5],
    ],
    async look(status, restarted) {
      draw_states(status);
      if (restarted) refused = null;
      if (refused !== null) return;
      try {
        sync = await show("config_sync");
        draw();
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 400) throw error;
        refused = error.message;
        for (const card of cards.slice(1)) card.hidden = true;
        push.hidden = compare.hidden = true;
        renew(here, refused, () => [el("p", null, badge("not configured", "")), el("p", { class: "muted" }, "This node exchanges no configuration: give it a section [config_sync] with its role and its peer.")]);
      }
    },
  };
}
