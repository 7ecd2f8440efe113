// What is said to the operator and asked of him: sentences, questions, the password; and how an order is carried out.
import { el, id, text } from "./dom.js";
import { login, order, patiently, refresh_session, Refused, session } from "./api.js";

const watchers = new Set();
// Called after each order that was carried out.
export const on_change = (watcher) => watchers.add(watcher);

export function note(sentence, kind = "done") {
  const line = el("div", { class: `note ${kind}` }, el("span", null, sentence.endsWith(".") ? sentence : `${sentence}.`),
    el("button", { type: "button", "aria-label": "Close", onclick: () => line.remove() }, "×"));
  id("notes").append(line);
  setTimeout(() => line.remove(), kind === "bad" ? 15_000 : 6000);
}

function ask(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = "no";
    dialog.showModal();
    const closed = () => {
      if (dialog.open) return;  // that was the question before, whose event came late
      dialog.removeEventListener("close", closed);
      resolve(dialog.returnValue);
    };
    dialog.addEventListener("close", closed);
  });
}

export async function confirmed(title, sentence, word) {
  text(id("confirm-title"), title);
  text(id("confirm-text"), sentence);
  text(id("confirm-yes"), word);
  const answer = ask(id("confirm"));
  id("confirm-no").focus();
  return (await answer) === "yes";
}

export async function log_in(why) {
  const form = id("login-form");
  text(id("login-why"), why ?? "Changes need a user.");
  id("login-error").hidden = true;
  form.reset();
  const answer = ask(id("login"));
  form.elements.user.focus();
  return (await answer) === "yes";
}

// Carries an order out, after logging in if need be. The answer, or null when it came to nothing, which is said. With `pausing` it is one step of many, which
// waits when it is refused for the moment.
export async function carry_out(request, { quiet = false, is_over = () => false, pausing = null } = {}) {
  const give = () => (pausing ? patiently(() => order(request), is_over, pausing) : order(request));
  try {
    if (session.csrf === null && !(await log_in("This changes something on the node: log in first."))) return null;
    let answer;
    try {
      answer = await give();
    } catch (error) {
      if (!(error instanceof Refused) || (error.status !== 401 && error.status !== 403)) throw error;
      await refresh_session();
      if (session.csrf === null && !(await log_in(`The session has ended (${error.message}). Log in again.`))) return null;
      answer = await give();
    }
    if (!quiet && answer.sentence) note(answer.sentence);
    for (const watcher of watchers) watcher();
    return answer;
  } catch (error) {
    note(error.message, "bad");
    return null;
  }
}

id("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { user, password } = form.elements;
  const button = form.querySelector("[type=submit]");
  const say = (sentence) => {
    text(id("login-error"), sentence);
    id("login-error").hidden = false;
  };
  let is_over = false;
  id("login").addEventListener("close", () => (is_over = true), { once: true });
  button.disabled = true;
  try {
    const [name, secret] = [user.value, password.value];
    // After a wrong password the daemon takes none for a moment: that one is no reason to type the right one twice.
    await patiently(() => login(name, secret), () => is_over, (error) => say(`${error.message}. Trying again.`));
    id("login").close("yes");
  } catch (error) {
    if (is_over) return;
    say(`${error.message}.`);
    password.value = "";
    password.focus();
  } finally {
    button.disabled = false;
  }
});
id("login-cancel").addEventListener("click", () => id("login").close("no"));
