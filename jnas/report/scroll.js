// A table wider than its place says that it goes on.
for (const place of document.querySelectorAll(".scroll")) {
  const hint = document.createElement("p");
  hint.className = "more";
  hint.textContent = "Scrolls sideways →";
  hint.setAttribute("aria-hidden", "true");
  place.before(hint);
  const show = () => {
    hint.hidden = place.scrollWidth <= place.clientWidth + 1;
  };
  new ResizeObserver(show).observe(place);
  show();
}
