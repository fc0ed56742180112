// The page is complete without this script, which only sorts, filters and switches the theme.
(() => {
  // A click sorts by a column, highest first; another click reverses. Rows without a score stay last.
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
    const form = byId("filters");
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
