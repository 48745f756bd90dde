// Copyright 2026 llavaseg_ros developers
// SPDX-License-Identifier: Apache-2.0

// The pictures: fetched when an event says that there are new ones, one at a time each; and the clicks into them.

const shown = {};   // name -> number of the picture that is on the screen or on its way
const wanted = {};  // name -> number of the newest one

export function offer(numbers) {
  for (const [name, number] of Object.entries(numbers)) {
    wanted[name] = number;
    pull(name);
  }
}

export function forget() {
  for (const name of Object.keys(shown)) delete shown[name];
}

async function pull(name) {
  const image = document.getElementById(name);
  if (!image || image.dataset.loading || document.hidden || shown[name] === wanted[name]) return;
  image.dataset.loading = "yes";
  shown[name] = wanted[name];
  try {
    const reply = await fetch(`/frame/${name}.jpg?v=${wanted[name]}`);
    if (reply.ok) {
      const before = image.src;
      image.src = URL.createObjectURL(await reply.blob());
      image.dataset.mask = reply.headers.get("X-Mask");  // what the viewer has drawn: none, fresh or old
      await image.decode().catch(() => {});
      if (image.naturalHeight) image.style.setProperty("--aspect", image.naturalWidth / image.naturalHeight);
      if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    }
  } catch {
    delete shown[name];  // the viewer is gone; the next event asks again
  } finally {
    delete image.dataset.loading;
  }
  if (name in shown && shown[name] !== wanted[name]) pull(name);
}

// --- points ---

let points = [];

export function clickable(post, say) {
  for (const pad of document.querySelectorAll(".pad:not(.plain)")) {
    const image = pad.querySelector("img");
    const cross = document.createElement("div");
    cross.className = "cross";
    cross.hidden = true;
    pad.append(cross);
    let at = { x: 0.5, y: 0.5 };

    const draw = () => {
      const box = image.getBoundingClientRect(), frame = pad.getBoundingClientRect();
      cross.style.left = `${box.left - frame.left + at.x * box.width}px`;
      cross.style.top = `${box.top - frame.top + at.y * box.height}px`;
    };

    const set = async (label, more) => {
      if (!image.src) return;
      points = more && points.length ? points : [];
      points.push({ x: at.x, y: at.y, label });
      pad.classList.add("busy");
      say(`${points.length} point${points.length > 1 ? "s" : ""} …`);
      const error = await post("/api/prompt", { points });
      pad.classList.remove("busy");
      if (error) points = points.slice(0, -1);
      say(error || `Segmented at ${points.length} point${points.length > 1 ? "s" : ""}.`);
    };

    pad.addEventListener("click", (event) => {
      const box = image.getBoundingClientRect();
      at = { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
      if (at.x < 0 || at.x > 1 || at.y < 0 || at.y > 1) return;
      set(event.shiftKey ? 0 : 1, event.shiftKey || event.ctrlKey || event.metaKey);
    });
    pad.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.05 : 0.01;
      const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (move) {
        at = { x: Math.min(1, Math.max(0, at.x + move[0])), y: Math.min(1, Math.max(0, at.y + move[1])) };
        cross.hidden = false;
        draw();
        event.preventDefault();
      } else if (event.key === "Enter") {
        set(event.shiftKey ? 0 : 1, event.shiftKey || event.ctrlKey || event.metaKey);
        event.preventDefault();
      }
    });
    pad.addEventListener("blur", () => { cross.hidden = true; });
  }
}
