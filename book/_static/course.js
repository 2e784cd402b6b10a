// Fold docstrings longer than three lines to their first line.
document.addEventListener("DOMContentLoaded", () => {
  for (const doc of document.querySelectorAll(".cell.tag_export .sd")) {
    const lines = doc.textContent.split("\n");
    if (lines.length <= 3) continue;
    const rest = document.createElement("span");
    rest.textContent = "\n" + lines.slice(1).join("\n");
    rest.hidden = true;
    const button = document.createElement("button");
    button.className = "fold";
    button.type = "button";
    const label = () => {
      button.textContent = rest.hidden ? "… more" : "less";
      button.setAttribute("aria-expanded", String(!rest.hidden));
    };
    button.addEventListener("click", () => {
      rest.hidden = !rest.hidden;
      label();
    });
    label();
    doc.textContent = lines[0] + " ";
    doc.append(button, rest);
  }
});
