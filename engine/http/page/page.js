// The frame: which view is shown, the look at the daemon once a second, who is logged in, light and dark.
import { classes, device, duration, id, text } from "./dom.js";
import { logout, on_session, refresh_session, Refused, session, show, Unreached } from "./api.js";
import { carp_view } from "./carp.js";
import { health_view, verdict_of } from "./health.js";
import { log_in, note, on_change } from "./operator.js";
import { states_view } from "./states.js";
import { sync_view } from "./sync.js";

const views = { carp: carp_view, sync: sync_view, states: states_view, health: health_view };
const every_ms = 1000;
const hidden_every_ms = 5000;

// --- the view ---------------------------------------------------------------------------------------------

let current = null;
let timer = null;

function open_view() {
  const name = views[location.hash.slice(1)] ? location.hash.slice(1) : "carp";
  if (current?.name === name) return;
  current?.view.close?.();
  const main = id("view");
  const view = views[name]();
  main.replaceChildren(...view.elements);
  current = { name, view };
  document.title = `${view.title} · pfsyncd`;
  for (const tab of document.querySelectorAll("[data-view]"))
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  look_now();
}

function look_now() {
  clearTimeout(timer);
  timer = setTimeout(look, 0);
}

// --- the look once a second -------------------------------------------------------------------------------

let reached = null;  // not known yet
let looking = false;
let uptime_before = 0;

function say_verdict(word, kind, sentence) {
  const verdict = id("verdict");
  text(id("verdict-word"), word);
  classes(verdict, ["good", "warn", "bad"], kind);
  verdict.title = sentence;
}

async function look() {
  if (looking) return;
  looking = true;
  const banner = id("banner");
  try {
    if (reached !== true) await refresh_session();
    reached = true;
    if (!session.read) {
      say_verdict("Log in", "warn", "Only users may look here.");
      if (!id("login").open) log_in("Only users may look here: log in.");
    } else {
      const status = await show("status");
      const restarted = status.uptime_s < uptime_before;
      uptime_before = status.uptime_s;
      if (restarted) await refresh_session();
      const verdict = verdict_of(status);
      say_verdict(verdict.word, verdict.kind, verdict.sentence);
      text(id("node"), `${session.node ? `${session.node} · ` : ""}host id ${status.creatorid} · up ${duration(status.uptime_s)}`);
      text(id("foot"), `pfsyncd ${status.version} · ${device(status.link.device)} ${status.link.address} · looked at ${new Date().toLocaleTimeString("en-GB")}`);
      await current?.view.look(status, restarted);
    }
    banner.hidden = true;
  } catch (error) {
    if (error instanceof Unreached) {
      reached = false;
      say_verdict("No answer", "warn", error.message);
      text(banner, `${error.message}. Trying again.`);
    } else if (error instanceof Refused) {
      if (error.status === 401) reached = null;
      text(banner, `${error.message}.`);
    } else {
      throw error;
    }
    banner.hidden = false;
  } finally {
    looking = false;
    clearTimeout(timer);
    timer = setTimeout(look, document.hidden ? hidden_every_ms : every_ms);
  }
}

// --- who is logged in -------------------------------------------------------------------------------------

id("account").addEventListener("click", async () => {
  if (session.user === null) return log_in();
  try {
    await logout();
    note("You are logged out");
  } catch (error) {
    note(error.message, "bad");
  }
});
on_session(() => {
  id("account").disabled = false;  // before, whoever is logged in would log out by it
  text(id("account"), session.user === null ? "Log in" : `Log out ${session.user}`);
  look_now();
});
on_change(look_now);

// --- light and dark ---------------------------------------------------------------------------------------

const themes = ["auto", "light", "dark"];

function stored_theme() {
  try {
    const stored = localStorage.getItem("theme");
    return themes.includes(stored) ? stored : "auto";
  } catch {
    return "auto";  // a browser that keeps nothing
  }
}

function set_theme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  text(id("theme"), theme[0].toUpperCase() + theme.slice(1));
  id("theme").setAttribute("aria-label", `Colours: ${theme}. Change`);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // It lasts as long as the page, then.
  }
}

const next_theme = () => set_theme(themes[(themes.indexOf(stored_theme()) + 1) % themes.length]);
id("theme").addEventListener("click", next_theme);

// --- keyboard ---------------------------------------------------------------------------------------------

const keys = {
  1: () => (location.hash = "#carp"),
  2: () => (location.hash = "#sync"),
  3: () => (location.hash = "#states"),
  4: () => (location.hash = "#health"),
  "/": () => {
    location.hash = "#states";
    open_view();
    current.view.key?.("/");
  },
  t: next_theme,
  l: () => id("account").click(),
  "?": () => id("keys").showModal(),
};
id("help").addEventListener("click", keys["?"]);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea")) return;
  if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  } else {
    current?.view.key?.(event.key);
  }
});

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();  // the address tells the view
  id("view").focus();
});

set_theme(stored_theme());
addEventListener("hashchange", () => {
  open_view();
  id("view").focus({ preventScroll: true });
});
document.addEventListener("visibilitychange", () => document.hidden || look_now());
open_view();
