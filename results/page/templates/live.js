"use strict";

/* Shows what is new without a reload: scrolling, zoom, legends, sorting, filters, open parts and the
   place of the cursor stay. Nothing is replaced while a text is selected, and nothing is asked for
   while nobody sees the page. */

const EVERY_MS = 2000;
const place = document.getElementById("live");
const trialOf = /\/trial\/(\d+)$/.exec(location.pathname);
const asked = trialOf ? `version?trial=${trialOf[1]}` : "version";
let seen = document.body.dataset.version;

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer;
}

function remember() {
  const table = document.getElementById("table");
  const heads = table ? [...table.tHead.rows[0].cells] : [];
  const sorted = heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
  const field = document.activeElement;
  return {
    page: [scrollX, scrollY],
    parts: [...document.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]),
    open: [...document.querySelectorAll("details")].map((each) => each.open),
    fields: [...document.querySelectorAll("input, select")].map((each) => [each.id, each.value]),
    sort: sorted < 0 ? null : [heads[sorted].textContent, heads[sorted].getAttribute("aria-sort")],
    focus: field?.id ? [field.id, field.selectionStart, field.selectionEnd] : null,
  };
}

function restore(kept) {
  document.querySelectorAll("details").forEach((each, at) => { each.open = kept.open[at] ?? each.open; });
  for (const [id, value] of kept.fields) {
    const field = document.getElementById(id);
    if (field) field.value = value;
  }
  prepareTable();
  const table = document.getElementById("table");
  if (table && kept.sort) {
    const heads = [...table.tHead.rows[0].cells];
    const column = heads.findIndex((head) => head.textContent === kept.sort[0]);
    for (let clicks = 0; column >= 0 && clicks < 2; clicks++) {
      if (heads[column].getAttribute("aria-sort") !== kept.sort[1]) sortBy(table, column);
    }
  }
  document.querySelectorAll(".scroll").forEach((each, at) => {
    const [left, top] = kept.parts[at] ?? [0, 0];
    each.scrollTo({ left, top, behavior: "instant" });
  });
  scrollTo({ left: kept.page[0], top: kept.page[1], behavior: "instant" });
  if (kept.focus) {
    const field = document.getElementById(kept.focus[0]);
    field?.focus({ preventScroll: true });
    if (field?.type === "search") field.setSelectionRange(kept.focus[1], kept.focus[2]);
  }
}

async function update() {
  const text = await (await ask(location.pathname)).text();
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const source = fresh.getElementById("data-figures");
  if (!source) return location.reload(); // there is nothing to show any more
  seen = fresh.body.dataset.version;
  const kept = remember();
  for (const key of Object.keys(figures)) delete figures[key];
  Object.assign(figures, JSON.parse(source.textContent));
  // A figure that was drawn moves to the new page as it is, so that it can keep what was done to it.
  for (const empty of fresh.querySelectorAll(".plot")) {
    const drawn = document.querySelector(`.plot[data-figure="${empty.dataset.figure}"]`);
    if (drawn) {
      drawn.style.height = empty.style.height;
      empty.replaceWith(drawn);
    }
  }
  document.title = fresh.title;
  document.querySelector("nav").replaceWith(fresh.querySelector("nav"));
  for (const name of [".kind", "h1", "header > .about"]) {
    document.querySelector(name)?.replaceWith(fresh.querySelector(name));
  }
  document.querySelector("main").replaceWith(fresh.querySelector("main"));
  restore(kept);
  for (const drawing of document.querySelectorAll(".plot")) {
    const { data, layout } = themed(figures[drawing.dataset.figure]);
    await Plotly.react(drawing, data, layout, config);
  }
}

async function look() {
  if (document.hidden) return setTimeout(look, EVERY_MS);
  try {
    const { version, searching } = await (await ask(document.body.dataset.root + asked)).json();
    if (version !== null && version !== seen && getSelection().isCollapsed) await update();
    place.textContent = searching ? "live: the search is running" : "the search isn't running";
  } catch (error) {
    place.textContent = `no longer live (${error.message}): the search has ended or was stopped; its page is report.html in the run's folder`;
  }
  setTimeout(look, EVERY_MS);
}

const whenDrawn = setInterval(() => {
  if (document.body.dataset.drawn === "all" || !document.querySelector(".plot")) {
    clearInterval(whenDrawn);
    look();
  }
}, 100);
