// Copyright 2026 llavaseg_ros developers
// SPDX-License-Identifier: Apache-2.0

// The page's state. Every text goes in as text (textContent), never as HTML.

import { clickable, forget, offer } from "/pictures.js";

const $ = (id) => document.getElementById(id);
const SILENT_S = 2;   // a camera without a frame for so long is said to be silent

let state = null;
let since = 0;        // when the state came, in milliseconds; ages grow from there
let connected = false;

function node(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const passed = () => (performance.now() - since) / 1000;

function age(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(0)} h`;
}

async function post(path, body) {
  try {
    const reply = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    if (reply.ok) return "";
    return (await reply.json()).error || `error ${reply.status}`;
  } catch {
    return "the viewer does not answer";
  }
}

// --- what has come ---

function showNode() {
  const { node: it, camera, services, follow } = state;
  $("node-name").textContent = it.name;
  $("node").className = `pill ${it.level}`;
  $("node-level").textContent = it.level;
  $("node-text").textContent = it.text;
  const size = camera.width ? `${camera.width} × ${camera.height}, ${camera.rate_hz.toFixed(1)} Hz` : "";
  $("camera").textContent = [size, it.values["model name"] && `model ${it.values["model name"]}`].filter(Boolean).join(" · ");
  $("depth-scale").hidden = camera.depth_span_m === null;
  if (camera.depth_span_m !== null) {
    $("depth-near").textContent = `${camera.depth_span_m[0].toFixed(2)} m`;
    $("depth-far").textContent = `${camera.depth_span_m[1].toFixed(2)} m`;
  }
  const box = $("follow");
  box.disabled = !services.follow || !connected;
  if (!box.dataset.asked && follow !== "unknown") box.checked = follow !== "off";
  $("follow-state").textContent = ["off", "unknown"].includes(follow) ? "" : follow;
  $("send").disabled = !connected;
  const rows = Object.entries(it.values).map(([key, value]) => {
    const row = node("tr");
    row.append(node("td", key), node("td", value));
    return row;
  });
  $("node-values").replaceChildren(...rows);
}

function showRecord() {
  const record = state.record;
  const running = record !== null && record.status === "running";
  $("cancel").disabled = !running || record.source !== "page" || !connected;
  if (record === null) return;
  $("record-command").textContent = record.command;
  $("record-text").textContent = running ? record.partial : record.text;
  $("record-text").classList.toggle("partial", running);
  $("record-status").classList.toggle("working", running);
  const error = record.error;
  $("record-error").hidden = error === null;
  if (error !== null) {
    $("record-error").classList.toggle("calm", error.calm);
    $("error-name").textContent = error.name;
    $("error-words").textContent = error.words;
    $("error-detail").textContent = error.detail;
  }
  $("reasoning").hidden = !record.reasoning;
  $("reasoning-text").textContent = record.reasoning;
  showStages();
}

function showStages() {
  const record = state.record;
  if (record === null) return;
  const running = record.status === "running";
  const now = running ? record.running_s + passed() : record.latency_s;
  const word = { running: "working", done: "done", failed: "failed", canceled: "canceled" }[record.status];
  const from = record.source === "page" ? "" : " · from a topic";
  $("record-status").textContent = now === null ? word : `${word} · ${now.toFixed(2)} s${from}`;
  $("stages").hidden = record.stages.length === 0;
  const bars = [], items = [];
  const total = Math.max(now || 0, ...record.stages.map((stage) => stage.until_s || 0), 0.001);
  for (const stage of record.stages) {
    const seconds = Math.max(0, (stage.until_s === null ? now : stage.until_s) - stage.since_s);
    const kind = ["QUEUED", "ENCODING", "REASONING", "SEGMENTING", "LIFTING"].includes(stage.name) ? stage.name : "other";
    const bar = node("i", undefined, kind);
    bar.style.width = `${(100 * seconds) / total}%`;
    bars.push(bar);
    items.push(node("li", `${stage.name} ${seconds.toFixed(2)} s`, kind));
  }
  $("stage-bar").replaceChildren(...bars);
  $("stage-list").replaceChildren(...items);
}

const metres = (values) => values.map((value) => value.toFixed(3)).join(", ");

function targetCard(target, index) {
  const card = node("div", undefined, `target mask-${index % 6}`);
  card.append(node("h3", target.label || "target"));
  const chips = node("div", undefined, "chips");
  for (const name of ["color", "shape", "location"]) {
    if (!target[name]) continue;
    const chip = node("span");
    chip.append(node("small", name), document.createTextNode(target[name]));
    chips.append(chip);
  }
  if (chips.childElementCount) card.append(chips);
  const list = node("dl");
  const line = (name, ...content) => {
    const value = node("dd");
    value.append(...content);
    list.append(node("dt", name), value);
  };
  if (target.score !== null) {
    const meter = node("meter");
    meter.value = target.score;
    line("score", meter, target.score.toFixed(2));
  }
  line("area", `${target.area_px.toLocaleString("en")} px`);
  if (target.geometry) {
    line("position", `${metres(target.geometry.position_m)} m (x right, y down, z ahead)`);
    line("size", `${target.geometry.size_m.map((v) => (100 * v).toFixed(1)).join(" × ")} cm`);
    line("frame", target.geometry.frame || "not said");
  }
  if (target.geometry || target.depth_coverage > 0) line("depth", `${(100 * target.depth_coverage).toFixed(0)} % of its pixels`);
  card.append(list);
  return card;
}

// The masks that are here belong to another command than the answer beside them.
function ofAnother() {
  const { masks, record } = state;
  return masks !== null && record !== null && masks.kind === "command" && masks.command_id !== record.id;
}

function showMasks() {
  const masks = state.masks;
  const cards = masks === null ? [] : masks.targets.map(targetCard);
  const late = state.record !== null && state.record.found && ofAnother() ? "The mask is on its way." : "No target.";
  $("targets").replaceChildren(...(cards.length ? cards : [node("p", late, "soft")]));
}

function showHistory(records) {
  const items = records.map((record) => {
    const button = node("button");
    button.type = "button";
    button.append(node("span", record.command));
    const time = new Date(1000 * record.at).toLocaleTimeString([], { hour12: false });
    button.append(node("span", record.latency_s === null ? time : `${record.latency_s.toFixed(1)} s · ${time}`, "meta"));
    const failed = record.error && !record.error.calm;
    const said = record.text || (record.error ? record.error.name : "…");
    button.append(node("span", failed ? `${record.error.name}: ${record.error.words}` : said, failed ? "said failed" : "said"));
    button.addEventListener("click", () => {
      $("text").value = record.command;
      $("text").focus();
    });
    const item = node("li");
    item.append(button);
    return item;
  });
  $("history").replaceChildren(...items);
}

// What changes by itself: how old everything is. An old picture must not pass for a new one.
function tick() {
  if (state === null) return;
  const { camera, masks, record } = state;
  const silent = camera.age_s === null ? null : camera.age_s + passed();
  const cameraOld = silent === null || silent > SILENT_S;
  $("live-badge").hidden = !(cameraOld && silent !== null) && connected;
  $("live-badge").textContent = connected ? `no new image for ${age(silent || 0)}` : "no connection";
  $("live-pad").classList.toggle("old", !connected || (cameraOld && silent !== null));
  const depthAge = camera.depth_age_s === null ? null : camera.depth_age_s + passed();
  const depthOld = depthAge !== null && (depthAge > SILENT_S || !connected);
  $("depth-pad").classList.toggle("old", depthOld);
  $("depth-note").textContent = depthOld ? `from ${age(depthAge)} ago` : "";
  $("depth-key").hidden = depthOld || camera.depth_span_m === null;
  const maskAge = masks === null ? null : masks.age_s + passed();
  const some = masks !== null && masks.targets.length > 0;
  const fresh = some && $("live").dataset.mask === "fresh" && !cameraOld && connected;
  $("mask-age").textContent = !some ? "" : fresh ? "in the newest frame" : `as of ${age(maskAge)} ago${ofAnother() ? ", of an earlier command" : ""}`;
  $("targets").classList.toggle("stale", some && !fresh && (maskAge > 15 || ofAnother()));
  const what = masks === null ? "" : masks.kind === "points" ? "your points" : masks.command;
  $("result-note").textContent = masks === null ? "" : `frame from ${age(maskAge)} ago · ${what}`;
  $("live-note").textContent = fresh ? "mask of this frame" : $("live").dataset.mask === "old" ? "dashed: the last mask, not of this frame" : "";
  if (record !== null && record.status === "running") showStages();
}

// --- the stream of events ---

let stream = null;

function lost(text) {
  connected = false;
  document.body.classList.add("lost");
  $("banner").hidden = false;
  $("banner").textContent = text;
  if (state) showNode();
  tick();
}

function connect() {
  stream = new EventSource("/api/events");
  stream.addEventListener("state", (event) => {
    state = JSON.parse(event.data);
    since = performance.now();
    connected = true;
    document.body.classList.remove("lost");
    $("banner").hidden = true;
    showNode();
    showRecord();
    showMasks();
    tick();
  });
  stream.addEventListener("history", (event) => showHistory(JSON.parse(event.data)));
  stream.addEventListener("pictures", (event) => offer(JSON.parse(event.data)));
  stream.addEventListener("error", async () => {
    forget();
    lost("No connection to the viewer: what is shown is old.");
    if (stream.readyState !== EventSource.CLOSED) return;
    // Refused, rather than cut off: find out why, and try again.
    const reply = await fetch("/api/state").catch(() => null);
    if (reply && reply.status === 401) lost("The token is no longer valid: open the address that the viewer prints.");
    else if (reply && reply.ok) lost("Too many pages are open; this one waits.");
    setTimeout(connect, 3000);
  });
}

// A page that nobody sees fetches nothing, and lets the node draw nothing for it.
document.addEventListener("visibilitychange", () => {
  if (document.hidden && stream) {
    stream.close();
    stream = null;
    lost("");
    $("banner").hidden = true;
  } else if (!document.hidden && !stream) {
    forget();
    connect();
  }
});

// --- what the person does ---

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("send").disabled = true;
  const error = await post("/api/command", { text });
  $("send").disabled = !connected;
  $("form-note").textContent = error;
  if (!error) $("text").select();
});

$("cancel").addEventListener("click", async () => {
  $("form-note").textContent = await post("/api/cancel", {});
});

$("follow").addEventListener("change", async (event) => {
  const box = event.target;
  box.dataset.asked = "yes";
  const error = await post("/api/follow", { enabled: box.checked });
  if (error) box.checked = !box.checked;
  $("form-note").textContent = error;
  // /diagnostics comes once a second: until it has, the switch shows what was asked for.
  setTimeout(() => delete box.dataset.asked, 2500);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "TEXTAREA"].includes(document.activeElement.tagName)) {
    event.preventDefault();
    $("text").focus();
  }
});

clickable(post, (text) => { $("points-note").textContent = text; });
setInterval(tick, 250);
connect();
