"use strict";
// Columns sort by their heads; without scripts the rows keep their order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => {
    const field = row.cells[column];
    if (column === 0) return field.textContent;
    return "v" in field.dataset ? Number(field.dataset.v) : null;
  };
  const compare = (a, b, down) => {
    // What is not known comes last either way.
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return down ? -order : order;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" && column > 0
        || head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      // What the papers report stays below what was measured here.
      const last = (row) => Number(row.classList.contains("published"));
      const rows = [...body.rows];
      rows.sort((a, b) => last(a) - last(b)
        || compare(key(a, column), key(b, column), down));
      body.append(...rows);
    });
  });
}
