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
// The film shows the cells of an epoch; without scripts those of the last.
for (const film of document.querySelectorAll("[data-film]")) {
  const data = JSON.parse(film.querySelector("script").textContent);
  const slider = film.querySelector("input");
  const output = film.querySelector("output");
  const button = film.querySelector("button");
  const figures = [...film.querySelectorAll("figure")];
  const last = data.epochs.length - 1;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const show = (i) => {
    slider.value = i;
    output.textContent = `epoch ${data.epochs[i]} of ${data.epochs[last]}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    figures.forEach((figure, j) => {
      const { drawings, notes } = data.cells[j];
      [...figure.querySelector(".stage").children].forEach((drawing, k) => {
        drawing.hidden = k !== drawings[i];
      });
      figure.querySelector("figcaption").textContent = notes[i];
    });
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
    button.hidden = still.matches;
  };
  const step = () => {
    show(Number(slider.value) + 1);
    if (Number(slider.value) === last) stop();
  };
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  button.addEventListener("click", () => {
    if (timer) {
      stop();
      return;
    }
    if (Number(slider.value) === last) show(0);
    timer = setInterval(step, Math.min(500, Math.max(100, 20000 / last)));
    button.textContent = "Pause";
  });
  still.addEventListener("change", stop);
  film.querySelector(".slider").hidden = false;
  stop();
  show(Number(slider.value));
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
