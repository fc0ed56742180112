"use strict";
// Used by the pages of redone report and redone leaderboard; their own script follows.
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function theme() {
  const button = byId("theme"), order = ["auto", "light", "dark"];
  let now = "auto";
  button.hidden = false;
  button.addEventListener("click", () => {
    now = order[(order.indexOf(now) + 1) % 3];
    if (now === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
    button.textContent = `Theme: ${now}`;
  });
}

