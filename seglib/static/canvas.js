/* A picture to draw on.

   Python holds the truth: what was drawn, where the sliders stand, which
   pixels are marked. It sends that here, in the traits of `model`. This file
   shows it, and sends wishes back. Appendix A2 of the course tells the rest. */

export default { render };

function render({ model, el }) {
  const page = model.get("page");
  const view = {
    model, page,
    keys: `keys-${Math.random()}`,
    cursor: [page.width >> 1, page.height >> 1],
    draft: null,                  // the act that is being drawn
    asked: [],                    // wishes; the first one is under way
  };
  el.append(frame(view));
  choose(view, page.tools[0]);
  const show = () => refresh(view);
  model.on("change:turn", show);
  show();
  return () => model.off("change:turn", show);
}


/* What is on the page. */

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes, ...children) {
  const drawn = ["svg", "image", "g", "path"].includes(tag);
  const node = drawn ? document.createElementNS(SVG, tag)
                     : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function frame(view) {
  view.status = element("p", { class: "status", role: "status" });
  view.where = element("span", { class: "where", "aria-live": "polite" });
  view.root = element("div", {
    class: "seglib-canvas", role: "group", "aria-label": "Canvas",
    onkeydown: (event) => onKey(view, event),
  }, toolbar(view), stage(view), sliders(view),
     element("div", { class: "below" }, view.status, view.where), help(view));
  // JupyterLab takes the arrow keys away from whatever does not say this.
  for (const node of view.root.querySelectorAll("button, input, .stage")) {
    node.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  return view.root;
}

function toolbar(view) {
  const { tools, actions } = view.page;
  view.buttons = tools.map((tool, i) => element("button", {
    type: "button", style: `--ink: ${tool.colour}`, title: `Key ${i + 1}`,
    "aria-keyshortcuts": i + 1, onclick: () => choose(view, tool),
  }, element("span", { class: "ink" }), tool.name));
  const button = (name, wish, more) => element("button", {
    type: "button", onclick: () => ask(view, ...wish), ...more }, name);
  const undo = { title: "Ctrl+Z", "aria-keyshortcuts": "Control+Z" };
  return element("div", { class: "tools", role: "toolbar",
                          "aria-label": "Tools" },
    ...view.buttons,
    ...(tools.length ? [button("undo", ["undo"], undo),
                        button("reset", ["reset"])] : []),
    ...actions.map((name) => button(name, ["act", name])));
}

function stage(view) {
  const { width, height, alt, tools } = view.page;
  const across = { x: -0.5, y: -0.5, width, height,
                   preserveAspectRatio: "none" };
  view.picture = element("image", across);
  view.overlay = element("image", { ...across, class: "overlay" });
  view.marks = element("g", { class: "marks" });
  view.cross = element("path", { class: "cursor" });
  const alive = { tabindex: 0, role: "application",
                  "aria-roledescription": "picture to draw on",
                  "aria-describedby": view.keys };
  for (const type of ["down", "move", "up", "cancel"]) {
    alive[`onpointer${type}`] = (event) => onPointer(view, event);
  }
  return view.stage = element("svg", {
    class: "stage", "aria-label": alt, style: fit(width, height),
    viewBox: `-0.5 -0.5 ${width} ${height}`, preserveAspectRatio: "none",
    ...(tools.length ? alive : { role: "img" }),
  }, view.picture, view.overlay, view.marks, view.cross);
}

/* Large pictures shrink to the page; tiny ones grow by a whole factor. */
function fit(width, height) {
  const factor = Math.max(1, Math.round(400 / Math.max(width, height)));
  return `--wide: ${width * factor}px; aspect-ratio: ${width} / ${height};
          --ratio: ${width / height};
          image-rendering: ${factor > 1 ? "pixelated" : "auto"}`;
}

function sliders(view) {
  view.values = {};
  const one = ({ name, low, high, step, marks }) => {
    const range = element("input", {
      type: "range", min: low, max: high, step, "aria-label": name,
      oninput: () => ask(view, "slide", name, Number(range.value)),
    });
    const shown = element("span", { class: "value" });
    view.values[name] = { range, shown };
    const jumps = Object.entries(marks).map(([label, value]) => element(
      "button", { type: "button", onclick: () => {
        range.value = value;
        ask(view, "slide", name, value);
      } }, `${label}: ${value}`));
    return element("div", { class: "slider" },
                   element("span", {}, name), range, shown, ...jumps);
  };
  return element("div", {}, ...view.page.sliders.map(one));
}

function help(view) {
  if (!view.page.tools.length) return "";
  return element("details", { class: "help" },
    element("summary", {}, "Keys"),
    element("span", { id: view.keys },
      "Arrow keys move the cursor, with Shift pixel by pixel. Space or Enter "
      + "begins a stroke or a box, and ends it; Escape drops it. Digits "
      + "choose a tool, Ctrl+Z undoes."));
}


/* From Python: show how things stand. */

function refresh(view) {
  const { model } = view;
  if (view.asked[0]?.id === model.get("heard")) {
    view.asked.shift();
    send(view);
  }
  load(view, view.picture, "image");
  load(view, view.overlay, "overlay");
  for (const [name, { range, shown }] of Object.entries(view.values)) {
    const value = model.get("values")[name];
    if (!view.asked.some((wish) => wish.do === "slide")) range.value = value;
    shown.textContent = value;
  }
  view.status.textContent = model.get("status");
  draw(view);
}

function load(view, image, trait) {
  const bytes = view.model.get(trait);
  if (image.bytes === bytes) return;
  image.bytes = bytes;
  URL.revokeObjectURL(image.getAttribute("href"));
  if (!bytes.byteLength) return image.removeAttribute("href");
  const png = new Blob([bytes], { type: "image/png" });
  image.setAttribute("href", URL.createObjectURL(png));
}

function choose(view, tool) {
  cancel(view);
  view.tool = tool;
  view.page.tools.forEach((other, i) =>
    view.buttons[i].setAttribute("aria-pressed", other === tool));
}

/* What Python has, what is on the way to it, and what the hand holds. */
function draw(view) {
  const wishes = view.asked.filter((wish) => wish.do === "draw");
  const acts = [...view.model.get("acts"),
                ...wishes.map(({ with: [tool, points] }) =>
                  ({ tool, points }))];
  if (view.draft) acts.push(view.draft);
  view.marks.replaceChildren(...acts.map((act) => mark(view.page, act)));
}

function mark({ tools, pen }, { tool, points }) {
  const { kind, colour } = tools.find(({ name }) => name === tool);
  const [[x, y], [u, v] = [x, y]] = points;
  const [l, r, t, b] = [Math.min(x, u) - 0.5, Math.max(x, u) + 0.5,
                        Math.min(y, v) - 0.5, Math.max(y, v) + 0.5];
  const places = points.map((place) => place.join(" "));
  const d = kind === "box" ? `M${l} ${t}H${r}V${b}H${l}Z`
    : kind === "point" ? places.map((place) => `M${place}h0`).join("")
    : `M${places.join("L")}h0`;                  // a dot is a line too
  return element("path", { d, class: kind, style: `stroke: ${colour};`
    + `stroke-width: ${kind === "stroke" ? 2 * pen + 1 : 2}px` });
}


/* To Python: one wish at a time. A slider that moves on before its answer
   comes asks once more, for where it is then, not for every place between. */

function ask(view, what, ...rest) {
  const wish = { do: what, with: rest, id: `${Math.random()}` };
  const last = view.asked.length - 1;
  if (last > 0 && what === "slide" && view.asked[last].do === "slide"
      && view.asked[last].with[0] === rest[0]) view.asked[last] = wish;
  else view.asked.push(wish);
  if (view.asked.length === 1) send(view);
  draw(view);
}

function send(view) {
  view.root.setAttribute("aria-busy", view.asked.length > 0);
  if (view.asked.length) view.model.send(view.asked[0]);
}


/* Drawing: the same four steps for the hand and for the keys. */

function begin(view, place) {
  view.draft = { tool: view.tool.name, points: [place] };
  if (view.tool.kind === "point") finish(view);
  draw(view);
}

function extend(view, place) {
  const { points } = view.draft;
  if (view.tool.kind === "box") points[1] = place;
  else if (`${points.at(-1)}` !== `${place}`) points.push(place);
  draw(view);
}

function finish(view) {
  const { tool, points } = view.draft;
  const [first, last] = [points[0], points.at(-1)];
  cancel(view);
  if (view.tool.kind === "box" && `${first}` === `${last}`) return;
  ask(view, "draw", tool, points);
}

function cancel(view) {
  if (!view.draft) return;
  view.draft = null;
  draw(view);
}


/* By mouse, pen or finger. */

function pixelAt(view, { clientX, clientY }) {
  const { left, top, width, height } = view.stage.getBoundingClientRect();
  return [Math.floor((clientX - left) / width * view.page.width),
          Math.floor((clientY - top) / height * view.page.height)];
}

function onPointer(view, event) {
  if (!event.isPrimary || event.button > 0) return;
  if (event.type === "pointerdown") {
    view.stage.setPointerCapture(event.pointerId);
    view.stage.classList.remove("by-keys");
    cancel(view);
    begin(view, pixelAt(view, event));
  } else if (view.draft && !view.stage.classList.contains("by-keys")) {
    const missed = event.getCoalescedEvents?.() ?? [];
    for (const one of [...missed, event]) extend(view, pixelAt(view, one));
    if (event.type === "pointerup") finish(view);
    if (event.type === "pointercancel") cancel(view);
  }
}


/* By keys alone. */

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0],
                ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(view, event) {
  const { key, ctrlKey, metaKey, altKey, target } = event;
  const tool = view.page.tools[Number(key) - 1];
  const here = target === view.stage;
  if (altKey) return;
  if (ctrlKey || metaKey) {
    if (key !== "z") return;
    ask(view, "undo");
  }
  else if (tool) choose(view, tool);
  else if (here && STEPS[key]) move(view, STEPS[key], event.shiftKey);
  else if (here && (key === " " || key === "Enter")) press(view);
  else if (here && key === "Escape") cancel(view);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function move(view, [dx, dy], finely) {
  const { width, height } = view.page;
  const step = finely ? 1 : Math.ceil(Math.max(width, height) / 50);
  const [x, y] = view.cursor;
  view.cursor = [Math.min(Math.max(x + step * dx, 0), width - 1),
                 Math.min(Math.max(y + step * dy, 0), height - 1)];
  if (view.draft) extend(view, view.cursor);
  point(view);
}

function press(view) {
  if (view.draft) finish(view);
  else begin(view, view.cursor);
  point(view);
}

function point(view) {
  const { width, height } = view.page;
  const [x, y] = view.cursor;
  const arm = Math.max(width, height) / 40;
  view.cross.setAttribute("d", `M${x - arm} ${y}h${2 * arm}`
                               + `M${x} ${y - arm}v${2 * arm}`);
  view.stage.classList.add("by-keys");
  view.where.textContent = `x ${x}, y ${y}${view.draft ? ", drawing" : ""}`;
}
