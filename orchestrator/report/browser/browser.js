"use strict";
/* The response browser: rows are prompts, columns are cells, and every answer is one click away.
   All text is put in as text. What the page holds: an index (JSON) and packs of answers, both deflated and in base64. */
(() => {
  const PER_PAGE = 40, ROWS_PER_PAGE = 100, NONE = 255, ABSENT = 254, CUT = 1, MOST = 20000, WORDS = 700, KEPT_PACKS = 48;
  const LETTERS = { success: "S", garbled: "G", no_answer: "–", other: "·" };
  const root = document.getElementById("browser");
  const $ = (name) => root.querySelector(`[data-is="${name}"]`);
  const make = (tag, props = {}, ...inside) => {
    const { data = {}, ...rest } = props, made = Object.assign(document.createElement(tag), rest);
    Object.assign(made.dataset, data);
    made.append(...inside.filter((one) => one != null));
    return made;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const inflated = async (id) => {
    const stream = new Blob([bytes(document.getElementById(id).textContent)]).stream();
    return new Response(stream.pipeThrough(new DecompressionStream("deflate"))).text();
  };
  /* Control, bidirectional and other hidden characters are written out, as everywhere in this program. */
  const plain = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu, (one) =>
    one === "\n" || one === "\t" ? one : "\\u" + one.codePointAt(0).toString(16).padStart(4, "0"));

  let index, group, columns = [], shownRows = [], found = null, search = 0;
  const state = { group: 0, mode: "all", re: "", sort: "plan", filters: {}, page: 0, rows: 0, a: -1, b: -1, one: 0, two: 1,
    cell: -1, row: -1 };
  const packs = new Map(), tally = new Map();

  const pack = async (number) => {
    if (!packs.has(number)) packs.set(number, inflated(`pack-${number}`).then(JSON.parse));
    const wanted = packs.get(number);
    packs.delete(number), packs.set(number, wanted); // the latest used stand last
    while (packs.size > KEPT_PACKS) packs.delete(packs.keys().next().value);
    return wanted;
  };
  const answersOf = async (cell) => (await pack(group.cells[cell].pack))[group.cells[cell].place];

  const at = (matrix, cell, row) => matrix[cell * group.rows.length + row];
  const label = (cell, row) => at(group.labels_of, cell, row);
  const nameOf = (code) => (code === NONE ? "unlabelled" : group.labels[code].name);
  const outcomeOf = (code) => (code === NONE ? "none" : group.labels[code].outcome);
  const words = (name) => (Object.hasOwn(group.label_words, name) ? group.label_words[name] : name);
  const cutOff = (cell, row) => (at(group.flags_of, cell, row) & CUT) !== 0;
  /* Cells may have different samples of a prompt. */
  const there = (cell, row) => label(cell, row) !== ABSENT;
  const changed = (cell, row) => {
    const base = group.cells[cell].base;
    return base >= 0 && there(cell, row) && there(base, row) && label(cell, row) !== label(base, row);
  };
  const scorerLabel = (scorer, cell, row) => {
    if (scorer === 0) return nameOf(label(cell, row));
    const one = group.scorers[scorer - 1], code = at(one.said, cell, row);
    return code === NONE ? null : one.labels[code];
  };
  const MODES = {
    all: ["all answers", () => true],
    changed: ["changed against the unsteered", changed],
    differs: ["two cells differ", (cell, row) => [state.a, state.b].includes(cell) && there(state.a, row) && there(state.b, row) && label(state.a, row) !== label(state.b, row)],
    disagree: ["two scorers disagree", (cell, row) => {
      const one = scorerLabel(state.one, cell, row), two = scorerLabel(state.two, cell, row);
      return one !== null && two !== null && one !== two;
    }],
    cut: ["cut off", cutOff],
  };
  const fits = (cell, row) => {
    if (!there(cell, row)) return false;
    if (found && !found.has(cell * group.rows.length + row)) return false;
    const mode = MODES[state.mode];
    return mode ? mode[1](cell, row) : nameOf(label(cell, row)) === state.mode.slice(6);
  };

  /* ---- what is shown ---- */
  function choose() {
    const wanted = Object.entries(state.filters).filter(([, values]) => values.length);
    columns = group.cells.map((_, cell) => cell).filter((cell) =>
      group.cells[cell].base !== cell && wanted.every(([axis, values]) => values.includes(group.cells[cell].axes[axis])));
    if (state.mode === "differs") columns = columns.filter((cell) => [state.a, state.b].includes(cell));
    if (!columns.length && !wanted.length) columns = group.cells.map((_, cell) => cell);
    const rows = group.rows.map((_, row) => row);
    const flips = rows.map((row) => columns.reduce((sum, cell) => sum + changed(cell, row), 0));
    shownRows = state.mode === "all" && !found ? rows : rows.filter((row) => columns.some((cell) => fits(cell, row)));
    if (state.sort === "flips") shownRows.sort((one, two) => flips[two] - flips[one] || one - two);
    if (state.mode !== "all" || found) columns = columns.filter((cell) => shownRows.some((row) => fits(cell, row)));
    group.flips = flips;
    state.page = Math.min(state.page, Math.max(0, Math.ceil(columns.length / PER_PAGE) - 1));
    state.rows = Math.min(state.rows, Math.max(0, Math.ceil(shownRows.length / ROWS_PER_PAGE) - 1));
  }

  function draw() {
    choose();
    const here = columns.slice(state.page * PER_PAGE, (state.page + 1) * PER_PAGE);
    const bases = [...new Set(here.map((cell) => group.cells[cell].base).filter((base) => base >= 0))];
    const all = [...bases, ...here.filter((cell) => !bases.includes(cell))];
    const several = bases.length > 1;
    const head = make("tr", {}, make("th", { scope: "col", className: "prompt", textContent: "prompt" }),
      make("th", { scope: "col", className: "flips", textContent: "flips", title: "cells on show whose label is not the unsteered answer's" }),
      ...all.map((cell) => {
        const one = group.cells[cell], base = bases.includes(cell);
        const name = base ? (several ? one.title : "unsteered") : one.name;
        return make("th", { scope: "col", className: base ? "base" : "", title: one.title }, make("span", { textContent: name }));
      }));
    const body = shownRows.slice(state.rows * ROWS_PER_PAGE, (state.rows + 1) * ROWS_PER_PAGE).map((row) => make("tr", {},
      make("th", { scope: "row", className: "prompt", title: plain(group.rows[row].text) },
        make("b", { textContent: rowName(row) }), " ", plain(group.rows[row].text).slice(0, 80)),
      make("td", { className: "flips", textContent: group.flips[row] }),
      ...all.map((cell) => {
        const code = label(cell, row), outcome = outcomeOf(code), chosen = state.cell === cell && state.row === row;
        if (!there(cell, row)) return make("td", { className: bases.includes(cell) ? "base" : "" });
        const mark = tally.has(key(cell, row)) ? "★" : LETTERS[outcome] ?? "?";
        const say = `${group.rows[row].id}, ${group.cells[cell].name}: ${words(nameOf(code))}`;
        return make("td", { className: bases.includes(cell) ? "base" : "" }, make("button", {
          type: "button", className: `${outcome}${fits(cell, row) ? "" : " dim"}${chosen ? " chosen" : ""}`,
          textContent: mark, title: say, tabIndex: chosen || (state.cell < 0 && row === shownRows[0] && cell === all[0]) ? 0 : -1,
          ariaLabel: say, data: { cell, row },
        }));
      })));
    $("matrix").style.setProperty("--columns", all.length); // on paper they share its width
    $("matrix").replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
    $("told").textContent = told();
    pager($("columns"), "cells", columns.length, PER_PAGE, "page");
    pager($("rows"), "prompts", shownRows.length, ROWS_PER_PAGE, "rows");
    remember();
  }

  function told() {
    const counts = new Map();
    let total = 0;
    for (const cell of columns) for (const row of shownRows) if (fits(cell, row)) {
      total += 1;
      counts.set(label(cell, row), (counts.get(label(cell, row)) ?? 0) + 1);
    }
    const parts = [...counts].sort((one, two) => two[1] - one[1]).map(([code, count]) => `${count} ${words(nameOf(code))}`);
    return `${total} answers of ${columns.length} cells: ${parts.join(", ") || "none fits"}`;
  }

  function pager(place, what, total, size, which) {
    const pages = Math.ceil(total / size), turn = (by) => { state[which] += by; draw(); };
    place.replaceChildren(...(pages < 2 ? [] : [
      make("button", { type: "button", textContent: "‹", ariaLabel: `earlier ${what}`, disabled: state[which] === 0, onclick: () => turn(-1) }),
      ` ${what} ${state[which] * size + 1} to ${Math.min(total, (state[which] + 1) * size)} of ${total} `,
      make("button", { type: "button", textContent: "›", ariaLabel: `later ${what}`, disabled: state[which] >= pages - 1, onclick: () => turn(1) }),
    ]));
  }

  /* ---- one answer ---- */
  /* A prompt, and where prompts have several answers which of them. */
  const rowName = (row) => plain(group.rows[row].id) + (group.rows.some((one) => one.sample) ? `, sample ${group.rows[row].sample}` : "");
  const key = (cell, row) => `${group.cells[cell].id} ${group.rows[row].id} ${group.rows[row].sample}`;

  async function open(cell, row, focus = true) {
    Object.assign(state, { cell, row });
    draw();
    if (focus) $("matrix").querySelector(".chosen")?.focus({ preventScroll: false });
    const base = group.cells[cell].base, beside = base >= 0 && base !== cell ? base : -1;
    const [mine, other] = await Promise.all([answersOf(cell), beside < 0 ? null : answersOf(beside)]);
    if (state.cell !== cell || state.row !== row) return;
    $("answer").replaceChildren(
      make("h3", { textContent: rowName(row) }),
      make("pre", { className: "asked", textContent: plain(group.rows[row].text) }),
      make("div", { className: "pair" },
        beside < 0 ? null : said(beside, row, other[row], null), said(cell, row, mine[row], other?.[row])),
      reel(cell, row) ?? "", rating(cell, row));
    remember();
  }

  function said(cell, row, answer, against) {
    if (!answer) return make("article", {}, make("p", { className: "note", textContent: "this cell has no such response" }));
    const [text, evidence, tokens, same, judged] = answer, one = group.cells[cell], code = label(cell, row);
    const facts = [`${tokens} tokens`, cutOff(cell, row) ? "cut off" : "ended by itself"];
    if (same !== null && against) facts.push(same === tokens ? "begins the unsteered answer" : `parts from the unsteered answer at token ${same + 1}`);
    const others = group.scorers.map((_, number) => [group.scorers[number].name, scorerLabel(number + 1, cell, row)])
      .filter(([, name]) => name !== null).map(([name, given]) => `${name}: ${words(given)}`);
    return make("article", {},
      make("h4", {}, make("span", { className: `tag ${outcomeOf(code)}`, textContent: words(nameOf(code)) }), ` ${one.title}`),
      make("p", { className: "note", textContent: facts.join(" · ") }),
      body(text, evidence, judged),
      make("p", { className: "note", textContent: `why: ${plain(toldEvidence(evidence) ?? "no label yet")}` }),
      group.known[nameOf(code)] ? make("p", { className: "note", textContent: `rightly called so elsewhere: ${group.known[nameOf(code)]}` }) : null,
      others.length ? make("p", { className: "note", textContent: `scorers: ${others.join(", ")}` }) : null);
  }

  /* The text, the phrase that decided underlined; a very long one is cut until it is asked for. */
  function body(text, evidence, judged) {
    const pre = make("pre"), fill = (shown) => {
      const where = span(shown, evidence);
      pre.replaceChildren(...(where ? [plain(shown.slice(0, where[0])), make("mark", { textContent: plain(shown.slice(...where)) }),
        plain(shown.slice(where[1]))] : [plain(shown) || "(nothing)"]));
    };
    fill(text.slice(0, MOST));
    const thought = judged === null || judged === undefined ? null : make("p", { className: "note",
      textContent: judged ? `judged: what follows the thought, ${judged.length} characters` : "judged: no answer followed the thought" });
    const more = text.length <= MOST ? null : make("button", { type: "button", textContent: `all ${text.length} characters`,
      onclick: (event) => { fill(text); event.target.remove(); } });
    return make("div", {}, thought, pre, more);
  }

  const objectOf = (evidence) => {
    try { const found = JSON.parse(evidence); return found && typeof found === "object" && !Array.isArray(found) ? found : null; } catch { return null; }
  };
  const toldEvidence = (evidence) => {
    const found = objectOf(evidence);
    return found === null ? evidence
      : found.rule === "none" && Object.keys(found).length === 1 ? "no rule found anything"
      : Object.entries(found).map(([name, one]) => `${name}: ${typeof one === "string" ? one : JSON.stringify(one)}`).join(", ");
  };

  function span(text, evidence) {
    const found = objectOf(evidence);
    const phrase = found && (found.phrase ?? found.unit);
    if (typeof phrase !== "string" || !phrase) return null;
    const folded = (one) => one.replace(/[’‘`´]/g, "'").replace(/[“”]/g, '"').toLowerCase();
    const start = folded(text).indexOf(folded(phrase));
    return start < 0 || folded(text).length !== text.length ? null : [start, start + phrase.length];
  }

  /* The doses of one prompt: every multiplier of the cell's setting, each with what changed against the one before. */
  function reel(cell, row) {
    const mine = group.cells[cell], doses = group.cells.map((_, number) => number)
      .filter((number) => group.cells[number].reel !== null && group.cells[number].reel === mine.reel)
      .sort((one, two) => group.cells[one].dose - group.cells[two].dose);
    if (doses.length < 2) return null;
    const place = make("div", { className: "reel" });
    const fold = make("details", { ontoggle: async () => {
      if (!fold.open || place.childElementCount) return;
      let before = mine.base >= 0 ? (await answersOf(mine.base))[row]?.[0] ?? null : null;
      for (const number of doses) {
        const answer = (await answersOf(number))[row], code = label(number, row);
        if (!answer) continue;
        place.append(make("h4", {}, make("span", { className: `tag ${outcomeOf(code)}`, textContent: words(nameOf(code)) }),
          ` ${group.cells[number].name}`, answer[3] === null ? "" : ` · parts from the unsteered answer at token ${answer[3] + 1}`),
        difference(before, answer[0]));
        before = answer[0];
      }
    } }, make("summary", { textContent: `Dose reel: this prompt at ${doses.length} multipliers, with what changes from one to the next` }), place);
    return fold;
  }

  function difference(before, after) {
    const pre = make("pre");
    const one = (before ?? "").slice(0, MOST).split(/(?<=\s)/), two = after.slice(0, MOST).split(/(?<=\s)/);
    if (before === null || one.length > WORDS || two.length > WORDS) return make("pre", { textContent: plain(after.slice(0, MOST)) });
    const length = Array.from({ length: one.length + 1 }, () => new Uint16Array(two.length + 1));
    for (let i = one.length - 1; i >= 0; i--) for (let j = two.length - 1; j >= 0; j--)
      length[i][j] = one[i] === two[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    let i = 0, j = 0;
    while (i < one.length || j < two.length) {
      if (i < one.length && j < two.length && one[i] === two[j]) { pre.append(plain(two[j])); i++; j++; }
      else if (j >= two.length || (i < one.length && length[i + 1][j] >= length[i][j + 1])) pre.append(make("del", { textContent: plain(one[i++]) }));
      else pre.append(make("ins", { textContent: plain(two[j++]) }));
    }
    return pre;
  }

  /* ---- what the reader says: kept in this browser, exported as `score --labels` reads it ---- */
  const shelf = () => `answers of ${index.sweep}`;
  const keep = () => { try { localStorage.setItem(shelf(), JSON.stringify([...tally])); } catch { $("kept").textContent = "this browser keeps nothing of this page: export before you close it"; } };

  function rating(cell, row) {
    const name = key(cell, row), now = tally.get(name) ?? { cell_id: group.cells[cell].id, prompt_id: group.rows[row].id, label: null, comment: "", star: false };
    if (group.rows[row].sample) now.sample = group.rows[row].sample;
    const save = (change) => {
      Object.assign(now, change);
      if (now.label || now.comment || now.star) tally.set(name, now); else tally.delete(name);
      keep(), exports(), draw();
      for (const one of buttons) one.ariaPressed = String(one.dataset.label === now.label);
      star.ariaPressed = String(now.star);
    };
    const buttons = group.labels.map((one) => make("button", { type: "button", textContent: words(one.name), ariaPressed: String(now.label === one.name),
      data: { label: one.name }, onclick: () => save({ label: now.label === one.name ? null : one.name }) }));
    const star = make("button", { type: "button", textContent: "★", ariaLabel: "star", ariaPressed: String(now.star), onclick: () => save({ star: !now.star }) });
    return make("div", { className: "rating" }, make("span", { textContent: "Your label: " }), ...buttons, star,
      make("input", { type: "text", placeholder: "comment", ariaLabel: "comment", value: now.comment, maxLength: 2000,
        onchange: (event) => save({ comment: event.target.value }) }));
  }

  function exports() {
    const here = [...tally.values()].filter((one) => index.groups.some((of) => of.cells.some((cell) => cell.id === one.cell_id)));
    const rated = here.filter((one) => one.label);
    const lines = rated.map(({ star, comment, ...one }) => JSON.stringify({ ...one, comment: (star ? "★ " : "") + comment }));
    $("export").textContent = `Export ${rated.length} labels`;
    $("export").hidden = !here.length;
    $("export").onclick = () => save("ratings.jsonl", lines);
    const starred = here.filter((one) => one.star || (one.comment && !one.label));
    $("starred").textContent = `Export ${starred.length} starred or commented`;
    $("starred").hidden = !starred.length;
    $("starred").onclick = () => save("starred.jsonl", starred.map((one) => JSON.stringify(one)));
  }
  function save(name, lines) {
    const link = make("a", { href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* ---- controls ---- */
  function controls() {
    const modes = Object.entries(MODES).filter(([name]) => name !== "disagree" || group.scorers.length)
      .map(([name, [text]]) => [name, text]);
    options($("mode"), [...modes, ...group.labels.map((one) => [`label:${one.name}`, `labelled ${words(one.name)}`])], state.mode);
    if (state.mode === "differs") { // thousands of names, which no other mode shows
      const cells = group.cells.slice(0, 2000).map((one, number) => [number, one.title]);
      for (const which of ["a", "b"]) options($(which), cells, state[which]);
    }
    const scorers = [[0, "the sweep's label"], ...group.scorers.map((one, number) => [number + 1, one.name])];
    for (const which of ["one", "two"]) options($(which), scorers, state[which]);
    $("pair").hidden = state.mode !== "differs";
    $("scorers").hidden = state.mode !== "disagree";
    $("filters").replaceChildren(...Object.entries(group.axes).map(([axis, values]) => make("fieldset", {}, make("legend", { textContent: group.axis_words[axis] }),
      ...values.map((value) => make("label", {}, make("input", { type: "checkbox", value, checked: (state.filters[axis] ?? []).includes(value), data: { axis } }), ` ${plain(value)}`)))));
    $("re").value = state.re;
    $("sort").value = state.sort;
    options($("group"), index.groups.map((one, number) => [number, one.title]), state.group);
    $("group").parentElement.hidden = index.groups.length < 2;
  }
  function options(select, pairs, value) {
    select.replaceChildren(...pairs.map(([name, text]) => make("option", { value: name, textContent: plain(String(text)), selected: String(name) === String(value) })));
  }

  async function seek() {
    const run = ++search;
    found = null;
    $("problem").textContent = "";
    if (state.re) {
      let pattern;
      try { pattern = new RegExp(state.re, "iu"); } catch (error) { $("problem").textContent = error.message; return draw(); }
      const hits = new Set();
      const order = group.cells.map((_, cell) => cell).sort((one, two) => group.cells[one].pack - group.cells[two].pack);
      for (const [number, cell] of order.entries()) {
        const answers = await answersOf(cell);
        if (run !== search) return;
        answers.forEach((one, row) => one && pattern.test(one[0]) && hits.add(cell * group.rows.length + row));
        if (number % 500 === 499) $("told").textContent = `read ${number + 1} of ${group.cells.length} cells ...`;
      }
      found = hits;
    }
    draw();
  }

  function remember() {
    const told = new URLSearchParams();
    const names = ["group", "mode", "re", "sort", "page", "rows", ...({ differs: ["a", "b"], disagree: ["one", "two"] }[state.mode] ?? [])];
    for (const name of names) if (String(state[name]) !== String(FIRST[name])) told.set(name, state[name]);
    for (const [axis, values] of Object.entries(state.filters)) for (const value of values) told.append(`only.${axis}`, value);
    if (state.cell >= 0) told.set("cell", group.cells[state.cell].id), told.set("prompt", state.row);
    const hash = told.size ? `#answers?${told}` : "";
    if (hash || location.hash.startsWith("#answers?")) history.replaceState(null, "", hash || "#answers");
  }
  const FIRST = { ...state };

  async function recall() {
    const told = new URLSearchParams(location.hash.startsWith("#answers?") ? location.hash.slice(9) : "");
    Object.assign(state, FIRST, { filters: {} });
    for (const name of ["mode", "re", "sort"]) if (told.has(name)) state[name] = told.get(name);
    for (const name of ["group", "page", "rows", "a", "b", "one", "two"]) if (/^\d{1,6}$/.test(told.get(name) ?? "")) state[name] = Number(told.get(name));
    if (!index.groups[state.group]) state.group = 0;
    enter();
    if (!Object.hasOwn(MODES, state.mode) && !group.labels.some((one) => state.mode === `label:${one.name}`)) state.mode = "all";
    for (const axis of Object.keys(group.axes)) state.filters[axis] = told.getAll(`only.${axis}`).filter((one) => group.axes[axis].includes(one));
    controls();
    await seek();
    const cell = group.cells.findIndex((one) => one.id === told.get("cell")), row = Number(told.get("prompt") ?? -1);
    if (cell >= 0 && group.rows[row]) await open(cell, row, false);
  }
  function enter() {
    group = index.groups[state.group];
    state.a = group.cells[state.a] ? state.a : 0;
    state.b = group.cells[state.b] ? state.b : group.cells.length - 1;
    state.one = state.one <= group.scorers.length ? state.one : 0;
    state.two = Math.min(state.two, group.scorers.length);
    if (state.mode === "disagree" && !group.scorers.length) state.mode = "all";
  }

  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-cell]");
    if (button) open(Number(button.dataset.cell), Number(button.dataset.row));
  });
  root.addEventListener("keydown", (event) => {
    const button = event.target.closest("[data-cell]"), steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!button || !steps[event.key]) return;
    event.preventDefault();
    const line = button.closest("tr"), [x, y] = steps[event.key];
    const to = y === 0 ? [...line.querySelectorAll("[data-cell]")] : [...(y < 0 ? line.previousElementSibling : line.nextElementSibling)?.querySelectorAll("[data-cell]") ?? []];
    const place = [...line.querySelectorAll("[data-cell]")].indexOf(button) + x, next = to[place];
    if (next) open(Number(next.dataset.cell), Number(next.dataset.row));
  });
  root.addEventListener("change", (event) => {
    const name = event.target.dataset.is, axis = event.target.dataset.axis;
    if (axis) {
      const others = (state.filters[axis] ?? []).filter((one) => one !== event.target.value);
      state.filters[axis] = event.target.checked ? [...others, event.target.value] : others;
      return draw();
    }
    if (!["group", "mode", "re", "sort", "a", "b", "one", "two"].includes(name)) return;
    state[name] = ["mode", "re", "sort"].includes(name) ? event.target.value : Number(event.target.value);
    if (name === "group") {
      Object.assign(state, { filters: {}, cell: -1, row: -1, page: 0, rows: 0, mode: "all", a: -1, b: -1 });
      $("answer").replaceChildren();
      enter();
    }
    controls();
    if (name === "re" || name === "group") seek(); else draw();
  });

  (async () => {
    index = JSON.parse(await inflated("answers-index"));
    for (const one of index.groups) {
      one.labels_of = bytes(one.labels_of), one.flags_of = bytes(one.flags_of);
      for (const scorer of one.scorers) scorer.said = bytes(scorer.said);
    }
    try { for (const [name, one] of JSON.parse(localStorage.getItem(shelf()) ?? "[]")) if (one?.cell_id) tally.set(name, one); } catch { /* what another page left there */ }
    exports();
    await recall();
    root.hidden = false;
    root.dataset.ready = "yes";
  })();
})();
