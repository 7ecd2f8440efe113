// Status > CARP (failover): who is master of which address, why this node stands back, and which nodes share states.
import { badge, classes, duration, el, moment, number, renew, table, text } from "./dom.js";
import { Refused, show } from "./api.js";
import { carry_out, confirmed } from "./operator.js";

const causes = {
  interface_down: "an interface is down", bulk_update: "a bulk update is not complete", send_errors: "advertisements could not be sent",
  maintenance: "maintenance mode", operator: "ordered by the operator",
};
const kinds = { MASTER: "good", BACKUP: "", INIT: "bad", DISABLED: "warn" };

const head = (name) => ({ "data-head": name });

function history(host) {
  const moves = host.moves.map((one) => ({ ago: one.seconds_ago, what: `${one.from} → ${one.to}: ${one.reason}` }));
  const masters = host.masters.map((one) => ({ ago: one.seconds_ago, what: `${one.master} became master` }));
  const all = [...moves, ...masters].sort((a, b) => a.ago - b.ago);
  if (all.length === 0) return null;
  return el("details", { "data-open": `${host.vhid}@${host.interface}` }, el("summary", { "data-focus": `history ${host.vhid}@${host.interface}` }, "Who was master when"),
    el("ul", { class: "history" }, all.map((one) => el("li", null, el("time", null, moment(one.ago)), one.what))));
}

function host_row(host) {
  const skew = host.skew_now === host.advskew ? String(host.advskew) : `${host.advskew}, now ${host.skew_now}`;
  const wrong = host.mistakes.filter((one) => one.now);
  return el("tr", null,
    el("td", head("Address"), el("div", null, host.addresses.map((one) => el("div", { class: "mono" }, one)), history(host),
      wrong.map((one) => el("p", { class: "say bad" }, `${one.sentence} (${number(one.count)} times).`)))),
    el("td", head("Status"), el("div", null, badge(host.state, kinds[host.state] ?? ""), el("span", { class: "sub" }, `for ${duration(host.seconds)}`))),
    el("td", head("VHID"), `${host.vhid} @ ${host.interface}`),
    el("td", { class: "number", ...head("Base") }, String(host.advbase)),
    el("td", { class: "number", ...head("Skew") }, skew),
    el("td", head("Last heard"), host.heard
      ? el("div", null, el("span", { class: "mono" }, host.heard.source), el("span", { class: "sub" }, `${host.heard.seconds_ago.toFixed(0)} s ago, base ${host.heard.advbase} skew ${host.heard.advskew}`))
      : el("span", { class: "muted" }, "no other node")));
}

// All that a row shows but what merely grows older, which is allowed to be as old as five seconds.
function key_of(carp) {
  return [Math.floor(Date.now() / 5000), carp.hosts.map((host) => [host.state, host.advskew, host.skew_now, host.addresses, host.moves.length, host.masters.length, host.heard?.source,
    host.mistakes.map((one) => [one.now, one.sentence])])];
}

export function carp_view() {
  const standing = el("p", { class: "say", hidden: true });
  const disable = el("button", { type: "button", id: "carp-disable", disabled: true }, "Temporarily disable CARP");
  const maintenance = el("button", { type: "button", id: "carp-maintenance", disabled: true }, "Enter persistent CARP maintenance mode");
  const hosts = el("div");
  const nodes = el("div");
  const addresses = el("section", { class: "card flush", "aria-labelledby": "carp-addresses" }, el("h2", { id: "carp-addresses" }, "Virtual addresses"), standing, hosts);
  let carp = null;
  let refused = null;

  disable.addEventListener("click", async () => {
    if (!carp.enabled) return carry_out({ command: "carp", do: "enable" });
    if (await confirmed("Disable CARP on this node?", "It hands over every virtual address and takes no part in elections, until CARP is enabled again or pfsyncd is restarted.", "Disable CARP"))
      carry_out({ command: "carp", do: "disable" });
  });
  maintenance.addEventListener("click", async () => {
    if (carp.maintenance) return carry_out({ command: "carp", do: "maintenance", on: false });
    if (await confirmed("Enter persistent maintenance mode?", "This node stands back behind all others, also after a restart, until maintenance mode is left.", "Enter maintenance mode"))
      carry_out({ command: "carp", do: "maintenance", on: true });
  });

  function draw_carp() {
    disable.disabled = maintenance.disabled = false;
    text(disable, carp.enabled ? "Temporarily disable CARP" : "Enable CARP");
    text(maintenance, carp.maintenance ? "Leave persistent CARP maintenance mode" : "Enter persistent CARP maintenance mode");
    const parts = Object.entries(carp.demotion_parts).map(([cause, value]) => `${causes[cause] ?? cause} (${value})`);
    const sentence = !carp.enabled ? "CARP is disabled on this node until it is enabled again or pfsyncd is restarted."
      : carp.demotion !== 0 || parts.length > 0 ? `This node stands back: demotion ${carp.demotion}, because of ${parts.join(", ")}.` : carp.healthy ? "" : `${carp.reason}.`;
    standing.hidden = sentence === "";
    classes(standing, ["bad", "warn"], carp.healthy || !carp.enabled ? "warn" : "bad");
    text(standing, sentence);
    const open = new Set([...hosts.querySelectorAll("details[open]")].map((one) => one.dataset.open));
    if (renew(hosts, key_of(carp), () => table("Virtual addresses", ["Address", "Status", "VHID", { text: "Base", class: "number" }, { text: "Skew", class: "number" }, "Last heard"],
      carp.hosts.map(host_row), { class: "cards" })))
      for (const one of hosts.querySelectorAll("details")) one.open = open.has(one.dataset.open);
  }

  function draw_nodes(status) {
    const { creators, other_states: others, counted_s: counted } = status.creators;
    const sum = creators.reduce((all, one) => all + one.states, others);
    renew(nodes, [creators, others, counted === null], () => {
      if (counted === null) return el("p", { class: "empty" }, "The states are being counted.");
      if (sum === 0) return el("p", { class: "empty" }, "No node has a state here yet.");
      const rows = creators.map((one) => el("tr", null,
        el("td", head("Host id"), el("div", null, el("span", { class: "mono" }, one.creatorid), one.own ? [" ", badge("this node", "")] : null)),
        el("td", { class: "number", ...head("States") }, number(one.states)),
        el("td", head("Share"), el("meter", { max: String(sum), value: String(one.states), "aria-label": `${((100 * one.states) / sum).toFixed(1)} % of all states` }))));
      if (others > 0) rows.push(el("tr", null, el("td", head("Host id"), "further nodes"), el("td", { class: "number", ...head("States") }, number(others)), el("td")));
      return table("Sync nodes", ["State creator's host id", { text: "States", class: "number" }, "Share"], rows, { class: "cards" });
    });
  }

  return {
    title: "CARP (failover)",
    elements: [
      el("div", { class: "head" }, el("div", null, el("h1", null, "CARP (failover)"), el("p", null, "Addresses that survive this node, and who answers for them now.")),
        el("p", { class: "actions" }, disable, maintenance)),
      addresses,
      el("section", { class: "card flush", "aria-labelledby": "carp-nodes" }, el("h2", { id: "carp-nodes" }, "Sync nodes"), nodes),
    ],
    async look(status, restarted) {
      draw_nodes(status);
      if (restarted) refused = null;
      if (refused !== null) return;
      try {
        carp = await show("carp");
        draw_carp();
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 400) throw error;
        refused = error.message;
        renew(hosts, refused, () => el("p", { class: "empty" }, `Not configured: ${refused}.`));
      }
    },
  };
}
