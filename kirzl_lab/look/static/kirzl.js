// What pages do beyond HTML: the theme, menus, the search for an institution, the progress of a start, API tokens.
// Remembers nothing but the theme, under JupyterHub's own key so that the choice holds wherever the hub looks for it.
// Every sentence it shows comes from the page, in the page's language.
"use strict";

(() => {
  const THEMES = ["auto", "light", "dark"];
  const THEME_KEY = "jupyterhub-bs-theme";
  const LONG_HIDDEN_MS = 5000;
  const root = document.documentElement;
  const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

  function chosenTheme() {
    try {
      const theme = localStorage.getItem(THEME_KEY);
      return THEMES.includes(theme) ? theme : "auto";
    } catch {
      return "auto"; // a browser that forbids storage
    }
  }

  function showTheme(theme) {
    root.dataset.kTheme = theme;
    root.dataset.bsTheme = theme === "auto" ? (systemIsDark.matches ? "dark" : "light") : theme;
  }

  // Before the first paint; everything else waits for the page.
  showTheme(chosenTheme());
  systemIsDark.addEventListener("change", () => showTheme(root.dataset.kTheme));

  function themeButton() {
    const button = document.querySelector(".k-theme");
    const label = () => {
      const words = button.dataset[root.dataset.kTheme];
      button.title = words;
      button.querySelector("span").textContent = words;
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(root.dataset.kTheme) + 1) % THEMES.length];
      try {
        localStorage.setItem(THEME_KEY, next);
      } catch {
        // shown for this page, and forgotten
      }
      showTheme(next);
      label();
    });
  }

  function menus() {
    const open = () => document.querySelectorAll("details.k-menu[open]");
    document.addEventListener("click", (event) => {
      for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      for (const menu of open()) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
  }

  // Moments come in UTC; the reader sees their own time, and "today" for today.
  function localTimes(within = document) {
    const day = new Intl.DateTimeFormat(root.lang, { dateStyle: "medium" });
    const hour = new Intl.DateTimeFormat(root.lang, { timeStyle: "short" });
    const today = new Intl.RelativeTimeFormat(root.lang, { numeric: "auto" }).format(0, "day");
    for (const time of within.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const date = day.format(moment);
      time.textContent = `${date === day.format(new Date()) ? today : date}, ${hour.format(moment)}`;
      time.title = date;
    }
  }

  // A form that was sent is not sent twice.
  function forms() {
    document.addEventListener("submit", (event) => {
      if (event.target.dataset.sent) event.preventDefault();
      else if (event.target.method === "post" && !event.defaultPrevented) event.target.dataset.sent = "yes";
    });
    addEventListener("pageshow", () => {
      for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    });
  }

  // -- login: find an institution ------------------------------------------------------------------------------

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

  function institutions(list) {
    const box = document.querySelector(".k-search");
    const field = box.querySelector("input");
    const told = document.querySelector("#institutions-found");
    const rows = [...list.children];
    const links = () => rows.filter((row) => !row.hidden).map((row) => row.querySelector("a"));
    box.hidden = false;
    // Where there is a keyboard it can be typed at once; on a phone that would cover the list with one.
    if (matchMedia("(hover: hover)").matches) field.focus({ preventScroll: true });

    field.addEventListener("input", () => {
      const words = plain(field.value).split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => plain(row.dataset.words).includes(word));
      const found = links().length;
      list.hidden = found === 0;
      document.querySelector("#institutions-none").hidden = found > 0;
      told.textContent = told.dataset.words.replace("{number}", String(found));
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && links().length) {
        event.preventDefault();
        links()[0].click();
      }
    });
    box.parentElement.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: 1, ArrowUp: -1 };
      if (!(event.key in steps)) return;
      const stops = [field, ...links()];
      const at = stops.indexOf(document.activeElement);
      if (at < 0) return;
      event.preventDefault();
      stops[Math.min(Math.max(at + steps[event.key], 0), stops.length - 1)].focus();
    });
  }

  // -- the progress of a start ---------------------------------------------------------------------------------

  function progress(page) {
    const bar = page.querySelector("[role=progressbar]");
    const line = page.querySelector("#progress-message");
    const steps = page.querySelector("#progress-steps");
    const elapsed = page.querySelector("#progress-elapsed");
    const known = JSON.parse(page.querySelector("#progress-words").textContent);
    const began = Date.now();
    const clock = setInterval(() => {
      const seconds = Math.round((Date.now() - began) / 1000);
      elapsed.textContent = elapsed.dataset.words.replace("{seconds}", String(seconds));
    }, 1000);

    const say = (message) => {
      const words = known[message] ?? message;
      if (words === line.textContent) return;
      line.textContent = words;
      const step = document.createElement("li");
      step.textContent = words;
      steps.append(step);
    };
    const finish = () => {
      source.close();
      clearInterval(clock);
    };

    const source = new EventSource(page.dataset.progress);
    source.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.progress !== undefined) {
        bar.setAttribute("aria-valuenow", String(event.progress));
        bar.querySelector("rect").setAttribute("width", String(event.progress));
      }
      if (event.ready) {
        finish();
        location.reload(); // the hub leads on to the server
      } else if (event.failed) {
        finish();
        page.classList.add("is-failed");
        page.querySelector("#progress-running").hidden = true;
        page.querySelector("#progress-failed").hidden = false;
        // JupyterHub says "Spawn failed: " before a reason; the page has said so already.
        const reason = (event.message ?? "").replace(/^Spawn failed: /, "");
        page.querySelector("#progress-reason").textContent = known[reason] ?? reason;
        page.querySelector("#progress-failed h1").focus();
      } else if (event.message) {
        say(event.message);
      }
    };
    // The hub answers 4xx when nothing is starting any more: it then knows where this page should lead, unless the
    // server itself is gone, as after a cancelled start.
    source.onerror = async () => {
      if (source.readyState !== EventSource.CLOSED) return;
      finish();
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual" }).catch(() => null);
      if (answer?.status === 404) location.replace(page.dataset.home);
      else setTimeout(() => location.reload(), 2000);
    };
    // A browser that goes back may show the page as it was; what it told is over.
    addEventListener("pageshow", (event) => {
      if (event.persisted) location.reload();
    });
  }

  // A page that shows something on its way looks again until that has changed.
  function watch(page) {
    setInterval(async () => {
      if (document.hidden) return;
      const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
      if (!answer) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      if (fresh?.dataset.watch !== page.dataset.watch) location.reload();
    }, 2500);
  }

  // A page about something that goes on follows it: its parts marked with data-follow are brought anew until it is over.
  // Then the whole page is, unless somebody has begun to choose something on it.
  function follow(page) {
    let chosen = false;
    page.addEventListener("input", () => {
      chosen = true;
    });
    const timer = setInterval(async () => {
      if (document.hidden) return;
      const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
      if (!answer?.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      const over = fresh?.dataset.follows === undefined;
      if (over) clearInterval(timer);
      if (over && !chosen) location.reload();
      for (const part of page.querySelectorAll("[data-follow]")) {
        const now = fresh?.querySelector(`#${part.id}`);
        if (!now) continue;
        const at = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        part.replaceChildren(...now.childNodes);
        localTimes(part);
        if (at !== null) part.querySelector(`[href="${CSS.escape(at)}"]`)?.focus();
      }
    }, 2000);
  }

  // What changed while nobody looked at this tab is seen when it is looked at again, but no choice is lost for it.
  function lookAgain(page) {
    let hiddenAt = null;
    let changed = false;
    page.addEventListener("input", () => {
      changed = true;
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) hiddenAt = Date.now();
      else if (hiddenAt !== null && Date.now() - hiddenAt > LONG_HIDDEN_MS && !changed) {
        location.replace(page.dataset.lookAgain); // not a reload: that would send a form again
      }
    });
  }

  // -- API tokens ----------------------------------------------------------------------------------------------

  function tokens(page) {
    const note = page.querySelector("#token-failed");
    const api = async (method, address, body) => {
      note.hidden = true;
      const answer = await fetch(`${page.dataset.tokens}${address}?_xsrf=${encodeURIComponent(page.dataset.xsrf)}`, {
        method,
        headers: { "Content-Type": "application/json" },
        body: body && JSON.stringify(body),
      }).catch(() => null);
      if (answer?.ok) return answer;
      const told = await answer?.json().catch(() => null);
      note.textContent = [note.dataset.words, told?.message].filter(Boolean).join(" ");
      note.hidden = false;
      note.focus();
      return null;
    };

    page.querySelector("#request-token-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const form = new FormData(event.target);
      const scopes = form.get("scopes").split(/[\s,]+/).filter(Boolean);
      const answer = await api("POST", "", {
        note: form.get("note"),
        expires_in: Number(form.get("expires_in")) || null,
        ...(scopes.length ? { scopes } : {}),
      });
      if (!answer) return;
      page.querySelector("#token-result").value = (await answer.json()).token;
      page.querySelector("#token-area").hidden = false;
      page.querySelector("#token-result").select();
    });
    for (const button of page.querySelectorAll("[data-revoke]")) {
      button.addEventListener("click", async () => {
        if (await api("DELETE", `/${encodeURIComponent(button.dataset.revoke)}`)) button.closest("tr").remove();
      });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const page = document.querySelector("main");
    const list = document.querySelector("#institutions");
    themeButton();
    menus();
    forms();
    localTimes();
    if (list) institutions(list);
    if (page.dataset.progress) progress(page);
    if (page.dataset.watch) watch(page);
    if (page.dataset.follows) follow(page);
    if (page.dataset.lookAgain) lookAgain(page);
    if (page.dataset.tokens) tokens(page);
  });
})();
