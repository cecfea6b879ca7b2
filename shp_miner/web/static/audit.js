// Judging by keyboard: sends choices, shows the next pair, and says what was saved.
"use strict";
(() => {
  const SETS = {
    numbers: { 1: "1", 2: "2", 3: "3", 4: "4", 0: "0", undo: "u", skip: "s", look: "v", timer: "t" },
    left: { 1: "a", 2: "s", 3: "d", 4: "f", 0: "g", undo: "z", skip: "x", look: "c", timer: "v" },
    right: { 1: "j", 2: "k", 3: "l", 4: "i", 0: "o", undo: "m", skip: "n", look: "p", timer: "h" },
  };
  const byId = (id) => document.getElementById(id);
  const main = () => byId("main");

  // What the browser keeps. Some browsers refuse: then it lasts as long as the page.
  const memory = {};
  const keep = (name, value) => { memory[name] = value; try { localStorage.setItem(name, value); } catch { /* refused */ } };
  const kept = (name) => { try { return localStorage.getItem(name) ?? memory[name]; } catch { return memory[name]; } };

  let keys = { ...SETS.numbers };
  try {
    const given = JSON.parse(kept("shp-miner keys") ?? "{}");
    for (const name of Object.keys(keys)) if (typeof given[name] === "string") keys[name] = given[name];
  } catch { /* not ours */ }
  let asking = null;  // the button that waits for its new key
  let busy = false;
  const BOUNCE_MS = 100;  // a key that bounces would judge the next pair unseen
  let began = performance.now();

  const shown = (key) => (key === " " ? "Space" : key);
  function showKeys() {
    for (const mark of document.querySelectorAll("[data-shows]")) mark.textContent = shown(keys[mark.dataset.shows]);
    for (const button of document.querySelectorAll("[data-key-of]")) button.textContent = shown(keys[button.dataset.keyOf]);
  }
  function setKeys(changed) {
    keys = changed;
    keep("shp-miner keys", JSON.stringify(keys));
    showKeys();
  }
  function say(words) { const place = byId("said"); if (place) { place.textContent = ""; place.textContent = words; } }
  function alarm(words) { const place = byId("alarm"); if (place) place.textContent = words; }

  function showTimer() {
    const timer = byId("timer"), button = byId("hide");
    if (!timer || !button) return;
    const hidden = kept("shp-miner timer") === "hidden";
    const seconds = Math.floor((performance.now() - began) / 1000);
    timer.hidden = hidden;
    button.textContent = hidden ? "Show timer" : "Hide timer";
    timer.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  async function send(path, told, said) {
    if (busy) return;
    busy = true;
    try {
      const reply = await fetch(main().dataset.base + path, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(told),
      });
      if (reply.headers.get("Content-Type") !== "application/json") {
        alarm("Not saved: this page is of an earlier start of the audit. Open the address that shp-miner audit printed last. What was saved before is kept.");
        return;
      }
      const answer = await reply.json();
      if (answer.main) show(answer.main);
      if (reply.ok) { alarm(""); say(answer.said); } else alarm(answer.said);
    } catch {
      alarm(`Not ${said}: the audit does not answer. Start shp-miner audit again and open its new address, or try once more. What was saved before is kept.`);
    } finally {
      busy = false;
    }
  }

  function show(html) {
    const next = new DOMParser().parseFromString(html, "text/html").getElementById("main");
    main().replaceWith(document.adoptNode(next));
    document.title = `${main().querySelector("h1").textContent} - shp-miner audit`;
    began = performance.now();
    showKeys();
    showTimer();
    main().querySelector("h1").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  function act(action) {
    const { judge, pair, again } = main().dataset;
    const turn = { judge, pair_id: pair, again: again === "yes" };
    if (action === "timer") {
      keep("shp-miner timer", kept("shp-miner timer") === "hidden" ? "shown" : "hidden");
      showTimer();
    } else if (action === "look") {
      (byId("back") ?? byId("look"))?.click();
    } else if (action === "undo") {
      if (!document.querySelector("[data-action=undo]:disabled") && byId("said")) send("undo", { judge }, "undone");
    } else if (pair !== undefined) {
      if (performance.now() - began < BOUNCE_MS) return;
      if (action === "skip") send("skip", turn, "skipped");
      else send("vote", { ...turn, choice: Number(action), seconds: (performance.now() - began) / 1000 }, "saved");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.action !== undefined) act(button.dataset.action);
    else if (button.dataset.set !== undefined) { setKeys({ ...SETS[button.dataset.set] }); say("The keys were changed."); }
    else if (button.dataset.keyOf !== undefined) { asking = button; button.textContent = "press a key"; }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
    if (asking) {
      const name = asking.dataset.keyOf;
      asking = null;
      if (["Tab", "Escape", "Enter", "Shift"].includes(event.key)) { showKeys(); return; }
      event.preventDefault();
      const other = Object.keys(keys).find((action) => keys[action] === event.key);
      const changed = { ...keys, [name]: event.key };
      if (other !== undefined && other !== name) changed[other] = keys[name];  // the two change places
      setKeys(changed);
      say(`The key is ${shown(event.key)} now.`);
      return;
    }
    if (event.target.closest("input, select, textarea")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = Object.keys(keys).find((name) => keys[name] === event.key || keys[name] === key);
    if (action === undefined) return;
    if (key === " " && event.target.closest("button, summary, a")) return;
    event.preventDefault();
    act(action);
  });

  showKeys();
  showTimer();
  setInterval(showTimer, 1000);
})();
