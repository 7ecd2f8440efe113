// Sync health: one word of verdict with its sentence, and what it rests on, live. Rates come from counters of two looks.
import { badge, classes, duration, el, microseconds, number, renew, short, table, text } from "./dom.js";
import { show } from "./api.js";
import { chart } from "./chart.js";

const capital = (sentence) => `${sentence[0].toUpperCase()}${sentence.slice(1)}`;

// The daemon's word and reasons, worst first.
export function verdict_of(status) {
  const busy = ["asked", "receiving"].includes(status.bulk.phase);
  const kind = { healthy: busy ? "warn" : "good", degraded: "warn", failed: "bad" }[status.verdict];
  return { word: capital(status.verdict), kind, sentence: status.reason, others: status.reasons.slice(1).map((reason) => reason.sentence) };
}

const refusals = ["badif", "badttl", "hdrops", "badver", "badauth", "badact", "badlen", "badval", "stale", "badstate", "badsum", "badip", "fragment", "looped"];
const losses = ["imissed", "ierrors", "oerrors", "onomem"];

const sum = (words, counts) => words.reduce((all, word) => all + (counts[word] ?? 0), 0);

// What a histogram's classes (upper bound in µs → count) say of the observations since the one before; null: none.
function percentile(before, now, share) {
  const classes_of = Object.entries(now ?? {}).map(([bound, count]) => [Number(bound), count - (before?.[bound] ?? 0)]).sort((a, b) => a[0] - b[0]);
  const all = classes_of.reduce((whole, [, count]) => whole + count, 0);
  if (all <= 0) return null;
  let seen = 0;
  for (const [bound, count] of classes_of) if ((seen += count) >= all * share) return bound;
  return classes_of.at(-1)[0];
}

const phases = { none: "not asked for", asked: "asked for, no answer yet", receiving: "being received", done: "complete", failed: "failed: nobody answered" };

function bulk_lines(peer) {
  const { bulk, serving } = peer;
  const own = [`${phases[bulk.phase] ?? bulk.phase}${bulk.states_received ? `, ${number(bulk.states_received)} states` : ""}`];
  if (bulk.phase === "asked") own.push(`request ${bulk.tries} of ${bulk.tries_max}`);
  if (bulk.phase === "receiving" && bulk.rate_per_s) own.push(`${number(bulk.rate_per_s)} a second`);
  const ago = (seconds, never) => (seconds === null ? never : seconds < 2 ? "now" : `${duration(seconds)} ago`);
  const row = (name, words) => [el("dt", null, name), el("dd", null, words)];
  const silent = peer.answers.filter((node) => node.unanswered > 0).map((node) => `${node.address} left ${node.unanswered} questions unanswered`);
  const lost = [["loss_in", "of its packets"], ["loss_out", "of ours"]].filter(([key]) => peer[key].told + peer[key].missed > 0)
    .map(([key, of]) => `${peer[key].percent.toPrecision(2)} % ${of} (${peer[key].low.toPrecision(2)} to ${peer[key].high.toPrecision(2)})`);
  return [...row("Last heard", ago(peer.heard_s, "never")), ...row("Last sent", ago(peer.sent_s, "nothing")),
    ...(silent.length ? row("Answers", silent.join(", ")) : peer.round_trip ? row("Answers", `half within ${microseconds(peer.round_trip.p50_us)}, 99 % within ${microseconds(peer.round_trip.p99_us)}`) : []),
    ...(lost.length ? row("Lost in a minute", lost.join(", ")) : []), el("dt", null, "From it"), el("dd", null, own.join(", "), bulk.phase === "receiving" ? el("progress", { "aria-label": "A bulk update is being received" }) : null),
    el("dt", null, "To it"), el("dd", null, serving.running ? serving_line(serving) : `${number(serving.bulks_served)} served`)];
}

function serving_line(serving) {
  const left = serving.eta_s ?? null;
  return [`${number(serving.states_sent)} of ${number(serving.states_total)} states${left === null ? "" : `, ${duration(left)} left`}`,
    el("progress", { max: String(Math.max(serving.states_total, 1)), value: String(serving.states_sent), "aria-label": "Bulk update to this peer" })];
}

// Adds rate and time left where the daemon gives none, from two looks.
function estimate(before, peer, seconds) {
  const serving = { ...peer.serving };
  const old = before?.peers.find((one) => one.address === peer.address)?.serving;
  if (serving.running && (serving.eta_s ?? null) === null && old && seconds > 0 && serving.states_sent > old.states_sent)
    serving.eta_s = ((serving.states_total - serving.states_sent) * seconds) / (serving.states_sent - old.states_sent);
  return { ...peer, serving };
}

export function health_view() {
  const word = el("p", { class: "word", id: "health-word" });
  const sentence = el("p", { id: "health-sentence" });
  const others = el("ul", { class: "others" });
  const judgement = el("section", { class: "card judgement", role: "status", "aria-live": "polite", "aria-label": "Verdict" }, word, sentence, others);
  const tiles = el("dl", { class: "tiles" });
  const tile = (name) => {
    const value = el("span");
    const small = el("small");
    tiles.append(el("div", { class: "tile" }, el("dt", null, name), el("dd", null, value, small)));
    return (now, more) => (text(value, now), text(small, more));
  };
  const fill = el("meter", { min: "0", max: "1", high: "0.9", low: "0.75", optimum: "0", value: "0", "aria-label": "Part of the table in use" });
  const states = tile("States");
  tiles.lastChild.append(fill);
  const queued = tile("Changes to announce");
  const lag = tile("Lag");
  const packets = tile("Packets");
  const changes = chart("Changes of the table", ["inserts", "updates", "deletes"], { unit: "/s" });
  const messages = chart("Messages", ["received", "sent"], { unit: "/s" });
  const lags = chart("Lag: insert to its acknowledgement", ["half within", "99 % within"], { form: (us) => microseconds(Math.round(us)), empty: "Nothing waited for an acknowledgement" });
  const troubles = chart("Lost, stale, unknown", ["lost frames", "stale updates", "unknown states"], { unit: "/s" });
  const peers = el("div");
  const drops = el("div");
  let before = null;

  function draw_peers(status, seconds) {
    const all = status.peers.map((peer) => estimate(before?.status, peer, seconds));
    renew(peers, all, () => all.map((peer) => el("div", null,
      el("h3", null, el("span", { class: "mono" }, peer.address), " ", badge(peer.active ? peer.dialect : "spoken with by the master", "")),
      el("dl", { class: "rows" }, bulk_lines(peer)))));
  }

  function draw_drops(counters, rates) {
    const rows = [...refusals.map((one) => [one, counters.counters[one] ?? 0]), ...losses.map((one) => [one, counters.outside[one] ?? 0])]
      .filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
    renew(drops, [rows, rows.map(([one]) => Math.round(rates?.[one] ?? 0))], () => (rows.length === 0 ? el("p", { class: "empty" }, "Nothing was dropped.")
      : table("Drops by reason", ["Reason", { text: "Now", class: "number" }, { text: "Since the start", class: "number" }], rows.map(([one, count]) => el("tr", null,
        el("td", null, counters.sentences?.[one] ?? one, el("span", { class: "sub mono" }, one)),
        el("td", { class: "number" }, `${short(rates?.[one] ?? 0)}/s`), el("td", { class: "number" }, number(count)))))));
  }

  return {
    title: "Sync health",
    elements: [
      el("div", { class: "head" }, el("div", null, el("h1", null, "Sync health"), el("p", null, "The last two minutes, as this node sees them."))),
      judgement, el("section", { class: "card", "aria-label": "At a glance" }, tiles),
      el("div", { class: "columns" }, changes.element, messages.element, lags.element, troubles.element),
      el("div", { class: "columns" },
        el("section", { class: "card", "aria-labelledby": "health-bulk" }, el("h2", { id: "health-bulk" }, "Bulk updates"), peers),
        el("section", { class: "card flush", "aria-labelledby": "health-drops" }, el("h2", { id: "health-drops" }, "Drops by reason"), drops)),
    ],
    async look(status, restarted) {
      const counters = await show("counters", { sentences: true });
      if (restarted) before = null;
      const verdict = verdict_of(status);
      text(word, verdict.word);
      text(sentence, `${capital(verdict.sentence)}.`);
      renew(others, verdict.others, () => verdict.others.map((other) => el("li", null, `${capital(other)}.`)));
      classes(judgement, ["good", "warn", "bad"], verdict.kind);

      const seconds = before ? status.uptime_s - before.status.uptime_s : 0;
      if (before && seconds <= 0) return;
      const rate = (now, was) => (before ? Math.max(now - was, 0) / seconds : null);
      const totals = status.totals;
      const old = before?.status.totals;
      const ack = status.insert_ack;
      states(number(status.states), `of at most ${number(status.states_max)}`);
      fill.value = status.states / status.states_max;
      queued(number(status.queued), status.link.up ? "link up" : "link down");
      lag(ack ? microseconds(ack.p50_us) : "–", ack ? `99 % within ${microseconds(ack.p99_us)}, of ${short(ack.count)}` : "nothing waited for an acknowledgement");
      packets(before ? `${short(rate(totals.ipackets, old.ipackets))}/s in` : "–", before ? `${short(rate(totals.opackets, old.opackets))}/s out` : "");
      changes.add([rate(totals.inserts, old?.inserts), rate(totals.updates, old?.updates), rate(totals.removals + totals.expired, (old?.removals ?? 0) + (old?.expired ?? 0))]);
      messages.add([rate(totals.messages_in, old?.messages_in), rate(totals.messages_out, old?.messages_out)]);
      lags.add([0.5, 0.99].map((share) => (before ? percentile(before.status.insert_ack?.below_us, ack?.below_us, share) : null)));
      troubles.add([rate(sum(losses, counters.outside), before && sum(losses, before.counters.outside)), rate(counters.counters.stale, before?.counters.counters.stale),
        rate(counters.counters.badstate, before?.counters.counters.badstate)]);
      draw_peers(status, seconds);
      const rates = before && Object.fromEntries([...refusals.map((one) => [one, rate(counters.counters[one] ?? 0, before.counters.counters[one] ?? 0)]),
        ...losses.map((one) => [one, rate(counters.outside[one] ?? 0, before.counters.outside[one] ?? 0)])]);
      draw_drops(counters, rates);
      before = { status, counters };
    },
  };
}
