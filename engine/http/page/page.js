const verdict = document.getElementById("verdict");

async function refresh() {
  try {
    const status = await (await fetch("/api/show/status")).json();
    verdict.textContent = status.ok ? status.reason : status.error;
  } catch {
    verdict.textContent = "pfsyncd does not answer. Trying again.";
  }
  setTimeout(refresh, 1000);
}

refresh();
