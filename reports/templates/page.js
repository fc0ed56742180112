// Everything from a model, a data set or a file name goes into the page as text (textContent,
// option values), never as markup.
(() => {
  const PAGE = 20, FOLD = 900;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  async function unpacked(id) {
    const packed = byId(id).textContent;
    if (!packed) return "";
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  }

  // Control and direction characters are made visible, so that they cannot affect the page's text.
  const DIRECTIONS = { "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO",
    "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI" };
  function visible(text) {
    return text.replaceAll("\r\n", "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => {
      const code = c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
      return `⟨${DIRECTIONS[c] ?? code}⟩`;
    });
  }


  // --- downloads -------------------------------------------------------------------------------
  function save(name, type, content) {
    const link = element("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function csv(table) {
    const cell = (value) => {
      if (value === null) return "";
      // A spreadsheet must not run a text that starts like a formula.
      const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [table.columns, ...table.rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  }

  function downloads(data) {
    for (const place of all(".downloads[data-table]")) {
      const name = place.dataset.table, table = data.tables[name];
      place.hidden = !table.rows.length;
      place.addEventListener("click", ({ target }) => {
        if (target.dataset.as === "csv") save(`${name}.csv`, "text/csv", csv(table));
        if (target.dataset.as === "json") {
          const rows = table.rows.map((row) => Object.fromEntries(table.columns.map((c, k) => [c, row[k]])));
          save(`${name}.json`, "application/json", JSON.stringify(rows, null, 1));
        }
        if (target.dataset.as === "svg") {
          const picture = byId("seesaw-picture").firstElementChild;
          save("seesaw.svg", "image/svg+xml", new XMLSerializer().serializeToString(picture));
        }
      });
    }
  }

  // --- the seesaw ------------------------------------------------------------------------------
  async function seesaw(figure) {
    const chart = byId("seesaw-chart");
    if (!figure || !chart) return;
    const source = await unpacked("packed-plotly");
    // The content security policy names the hash of this inline script; nothing else may run.
    document.head.append(element("script", { textContent: source }));
    chart.hidden = false;
    const narrow = chart.clientWidth < 560;
    const layout = figure.layout, buttons = all(".switch button");
    if (narrow) {
      layout.annotations.forEach((note) => { note.text = note.text.split("<br>")[0]; });
      for (const axis of [layout.xaxis, layout.yaxis]) axis.title.text = axis.title.text.split(" (")[0];
      for (const trace of figure.data) if (trace.uid === "published-names") trace.mode = "markers";
    }
    await window.Plotly.newPlot(chart, figure.data, layout, { displayModeBar: false, responsive: true });
    byId("seesaw-picture").hidden = true;
    const show = (name) => {
      const [x, y] = figure.frames[name], [h, v] = figure.ticks[name];
      const far = figure.data.flatMap((trace, k) => (trace.meta === "published" ? [k] : []));
      window.Plotly.update(chart, { visible: name === "published" }, {
        "xaxis.range": [...x], "yaxis.range": [...y],
        "xaxis.tickvals": h.tickvals, "xaxis.ticktext": h.ticktext,
        "yaxis.tickvals": v.tickvals, "yaxis.ticktext": v.ticktext,
      }, far);
      buttons.forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.frame === name)));
    };
    buttons.forEach((b) => b.addEventListener("click", () => show(b.dataset.frame)));
    buttons[0].parentElement.hidden = false;
    show(figure.shown);
  }

  // --- tasks -----------------------------------------------------------------------------------
  function tasks() {
    const stage = byId("tasks-stage"), group = byId("tasks-group");
    if (!group) return;
    group.closest(".controls").hidden = false;
    const bodies = all(".forest tbody"), rows = bodies.map((body) => all("tr", body));
    const arrange = () => {
      const by = group.value;
      bodies.forEach((body, k) => {
        const groups = new Map();
        for (const row of rows[k]) {
          const name = by ? row.dataset[by] : "";
          if (!groups.has(name)) groups.set(name, []);
          groups.get(name).push(row);
        }
        body.replaceChildren(...[...groups].flatMap(([name, members]) => {
          if (!by) return members;
          const title = element("th", { textContent: name, colSpan: 5, scope: "rowgroup" });
          title.setAttribute("role", "rowheader");
          const head = element("tr", { className: "group" }, title);
          head.setAttribute("role", "row");
          return [head, ...members];
        }));
      });
    };
    const choose = () => all(".forest").forEach((table, k) => { table.hidden = stage && String(k) !== stage.value; });
    group.addEventListener("change", arrange);
    stage?.addEventListener("change", choose);
    arrange();
    choose();
  }

  // --- examples --------------------------------------------------------------------------------
  function examples(packed, titles) {
    const { texts, flips } = packed, filters = byId("flip-filters");
    if (!filters) return;
    const full = (place) => {
      const text = texts[place];
      return typeof text === "string" ? text : `${text[0]}${text[2]}`;
    };
    const lowered = new Map();
    const haystack = (flip) => {
      if (!lowered.has(flip)) {
        const places = [flip.gold, ...[flip.base, flip.candidate].flatMap((a) => [a.text, a.parsed]),
          ...(flip.prompt ?? []).map(([, place]) => place)];
        const words = places.filter((p) => p !== null).map(full);
        lowered.set(flip, [flip.task, flip.sample, ...words].join("\n").toLowerCase());
      }
      return lowered.get(flip);
    };
    const field = (name) => byId(`flip-${name}`);
    for (const task of new Set(flips.map((flip) => flip.task))) {
      field("task").append(element("option", { value: task, textContent: titles[task]?.title ?? task }));
    }
    let found = [], shown = 0;

    function select() {
      const started = performance.now();
      const value = (name) => field(name)?.value ?? "";
      const words = value("query").toLowerCase().split(/\s+/).filter(Boolean);
      const [kind, task, failure, stage] = ["kind", "task", "failure", "stage"].map(value);
      found = flips.filter((flip) =>
        (!kind || flip.kind === kind) && (!task || flip.task === task) && (!stage || flip.stage === stage) &&
        (!failure || flip.base.failure === failure || flip.candidate.failure === failure) &&
        words.every((word) => haystack(flip).includes(word)));
      shown = 0;
      field("list").replaceChildren();
      more();
      field("list").dataset.milliseconds = String(Math.round(performance.now() - started));
    }

    function more() {
      const next = found.slice(shown, shown + PAGE);
      field("list").append(...next.map(card));
      shown += next.length;
      field("more").hidden = shown >= found.length;
      field("count").textContent = found.length
        ? `Showing ${shown} of ${found.length.toLocaleString("en")} matching examples.` : "No matching examples.";
    }

    function block(place, empty) {
      if (place === null) return element("p", { className: "text nothing", textContent: empty });
      const text = texts[place], parts = typeof text === "string" ? [text] : text;
      const whole = parts.length === 1 ? visible(parts[0])
        : `${visible(parts[0])}\n[… ${parts[1].toLocaleString("en")} characters omitted …]\n${visible(parts[2])}`;
      if (!whole) return element("p", { className: "text nothing", textContent: "(empty)" });
      const shape = element("div", { className: "text", dir: "auto" });
      const lines = whole.split("\n", 19);
      const short = lines.length > 18 ? lines.slice(0, 14).join("\n").slice(0, FOLD) : whole.slice(0, FOLD);
      if (short.length >= whole.length) { shape.textContent = whole; return shape; }
      shape.textContent = `${short}…`;
      const fold = element("button", { type: "button", className: "quiet fold" });
      let open = false;
      const label = () => { fold.textContent = open ? "Show less" : `Show all ${whole.length.toLocaleString("en")} characters`; };
      fold.addEventListener("click", () => {
        open = !open;
        shape.textContent = open ? whole : `${short}…`;
        shape.tabIndex = open ? 0 : -1;
        label();
      });
      label();
      return element("div", {}, shape, fold);
    }

    function answer(run, own) {
      const value = element("span", { className: "small", textContent: ` value ${own.value.toFixed(2)}` });
      const chip = own.failure ? element("span", { className: "chip", textContent: own.failure }) : null;
      const same = own.parsed !== null && own.text !== null && full(own.parsed) === full(own.text);
      const note = (words) => element("p", { className: "small", textContent: words });
      const parsed = own.parsed === null ? note("No parsed answer.")
        : same ? note("Parsed answer: the whole completion.")
          : element("div", {}, element("h4", { textContent: "Parsed answer" }), block(own.parsed, ""));
      return element("div", {}, element("h4", {}, run, value, chip), block(own.text, "(this run stores no texts)"), parsed);
    }

    function card(flip) {
      const title = element("h3", { textContent: `${flip.kind === "fixed" ? "▲ Fixed" : "▼ Broken"}: ${titles[flip.task]?.title ?? flip.task}` });
      const about = element("p", { className: "small" });
      about.append(`${flip.stage} · `, element("code", { textContent: flip.sample }));
      const prompt = element("details", {}, element("summary", { textContent: "Prompt" }));
      prompt.addEventListener("toggle", () => {
        if (prompt.childElementCount > 1) return;
        for (const [role, place] of flip.prompt ?? [["", null]]) {
          prompt.append(element("h4", { textContent: role || "text" }), block(place, "(neither run stores texts)"));
        }
      });
      return element("article", { className: `flip ${flip.kind}` }, element("header", {}, title, about), prompt,
        element("h4", { textContent: "Gold" }), block(flip.gold, "(not stored)"),
        element("div", { className: "answers" }, answer("Base", flip.base), answer(flip.stage, flip.candidate)));
    }

    filters.hidden = false;
    filters.addEventListener("input", select);
    filters.addEventListener("submit", (event) => event.preventDefault());
    field("more").addEventListener("click", more);
    const keep = document.querySelector("[data-examples]");
    keep.hidden = false;
    keep.querySelector("button").addEventListener("click", () => save("examples.json", "application/json", JSON.stringify(packed)));
    select();
  }

  async function start() {
    theme();
    tasks();
    if (!("DecompressionStream" in window)) {
      byId("verdict").append(element("p", { className: "empty",
        textContent: "This browser cannot show the examples, the chart and the downloads (it lacks DecompressionStream); the tables are complete." }));
      return;
    }
    const data = JSON.parse(await unpacked("packed-data"));
    downloads(data);
    if (byId("flip-list")) examples(JSON.parse(await unpacked("packed-examples")), data.tasks);
    await seesaw(data.seesaw);
    document.documentElement.dataset.ready = "true";
  }
  start();
})();
