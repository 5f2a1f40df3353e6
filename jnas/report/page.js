"use strict";
// The table of weights follows its slider; without scripts it shows the end.
for (const figure of document.querySelectorAll("[data-weights]")) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const slider = figure.querySelector("input");
  const output = figure.querySelector("output");
  const fields = [...figure.querySelectorAll("td")];
  const show = () => {
    const i = Number(slider.value);
    const chosen = new Set(data.chosen[i]);
    output.textContent = `epoch ${data.epochs[i]}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    fields.forEach((field, j) => {
      const weight = data.values[i][j];
      field.className = chosen.has(j) ? "chosen" : weight === null ? "absent" : "";
      field.textContent = weight === null ? "" : (weight / 1000).toFixed(2).replace(/^0/, "");
      field.style.setProperty("--w", `${(100 * weight) / data.largest}%`);
    });
  };
  slider.addEventListener("input", show);
  figure.querySelector(".slider").hidden = false;
  show();
}
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = button.parentElement.querySelector("pre");
    getSelection().selectAllChildren(source);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Selected: press Ctrl+C";
    }
  });
}
