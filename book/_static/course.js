// Fold long docstrings to their first line. Pygments marks each line of a
// docstring (class "sd") and leaves the line breaks between them.
function fold(first, last, lines) {
  const rest = document.createElement("span");
  rest.hidden = true;
  while (first.nextSibling && first.nextSibling !== last) {
    rest.append(first.nextSibling);
  }
  rest.append(last);
  const button = document.createElement("button");
  button.className = "fold";
  button.type = "button";
  const label = () => {
    button.textContent = rest.hidden ? `… ${lines} lines` : "fold";
    button.setAttribute("aria-expanded", String(!rest.hidden));
  };
  button.addEventListener("click", () => {
    rest.hidden = !rest.hidden;
    label();
  });
  label();
  const indent = first.textContent.match(/^\s*/)[0]
    || (first.previousSibling?.textContent.match(/ *$/) || [""])[0];
  first.after(`\n${indent}`, button, rest);
}

document.addEventListener("DOMContentLoaded", () => {
  for (const code of document.querySelectorAll(".cell.tag_export pre")) {
    let first = null;
    let lines = 0;
    for (const line of code.querySelectorAll(".sd")) {
      const text = line.textContent.trim();
      if (!first) {
        if (/^r?"""/.test(text) && !/^r?"""[^]*"""$/.test(text)) {
          first = line;
          lines = 0;
        }
        continue;
      }
      lines += 1;
      if (text.endsWith('"""')) {
        if (lines > 3) fold(first, line, lines);
        first = null;
      }
    }
  }
});
