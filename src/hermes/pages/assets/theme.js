"use strict";
// The button for light or dark; whoever paints by hand listens to the event.
(() => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const tell = () => root.dispatchEvent(new Event("theme"));
  dark.addEventListener("change", tell);
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    tell();
  });
})();
