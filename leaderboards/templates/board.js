"use strict";
// The page is whole without this script: it only sorts, filters and switches the theme.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  function theme() {
    const button = document.getElementById("theme"), order = ["auto", "light", "dark"];
    let now = "auto";
    button.hidden = false;
    button.addEventListener("click", () => {
      now = order[(order.indexOf(now) + 1) % 3];
      if (now === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = now;
      button.textContent = `Theme: ${now}`;
    });
  }

  // A click sorts by a column, the highest first; another one turns it round. Rows without a figure
  // stay at the end.
  function sortable(table) {
    const heads = all("thead th", table), body = table.tBodies[0];
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sorter";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const text = head.dataset.sort === "text";
        const first = text ? "ascending" : "descending";
        const other = text ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const key = (row) => text ? row.dataset.model : row.cells[place].dataset.value;
        const rows = [...body.rows].sort((a, b) => {
          const [one, two] = [key(a), key(b)];
          if (one === undefined || two === undefined) return (one === undefined) - (two === undefined);
          return sign * (text ? one.localeCompare(two) : Number(one) - Number(two));
        });
        body.append(...rows);
      });
    });
  }

  function filters() {
    const form = document.getElementById("filters");
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      const text = form.elements.text.value.trim().toLowerCase(), origin = form.elements.origin.value;
      for (const row of all("tbody tr")) {
        row.hidden = !row.dataset.model.toLowerCase().includes(text) || (origin !== "" && row.dataset.origin !== origin);
      }
    });
  }

  theme();
  all("table").forEach(sortable);
  filters();
  document.documentElement.dataset.ready = "true";
})();
