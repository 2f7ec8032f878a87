// Draws the charts that the page carries as JSON, fits them to paper, and marks the section in view.
(() => {
  "use strict";
  const charts = [...document.querySelectorAll(".plot")];
  const options = { displayModeBar: false, responsive: true };

  for (const chart of charts) {
    const { data, layout } = JSON.parse(document.getElementById(`${chart.id}-data`).textContent);
    Plotly.newPlot(chart, data, layout, options);
  }

  // Paper: A4 less its margins is 680 pixels wide; a chart drawn wider would be cut.
  const paper = 680;
  const onPaper = (chart) => {
    const cells = chart.closest(".grid-2") ? 2 : chart.closest(".grid-3") ? 3 : chart.closest(".grid-4") ? 4 : 1;
    return Math.floor((paper - (cells - 1) * 16) / cells) - 2;
  };
  const details = [...document.querySelectorAll("details.print-open")];
  const toPaper = () => {
    for (const fold of details) { fold.dataset.was = fold.open ? "1" : ""; fold.open = true; }
    for (const chart of charts) Plotly.relayout(chart, { autosize: false, width: onPaper(chart) });
  };
  const toScreen = () => {
    for (const fold of details) fold.open = fold.dataset.was === "1";
    for (const chart of charts) Plotly.relayout(chart, { autosize: true, width: null });
  };
  window.addEventListener("beforeprint", toPaper);
  window.addEventListener("afterprint", toScreen);

  const links = new Map([...document.querySelectorAll(".toc a")].map((link) => [link.hash.slice(1), link]));
  const sections = [...document.querySelectorAll("section[id]")];
  const mark = () => {
    const line = window.innerHeight / 3;
    const passed = sections.filter((section) => section.getBoundingClientRect().top <= line);
    const current = (passed.at(-1) ?? sections[0]).id;
    for (const [id, link] of links) {
      if (id === current) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  window.addEventListener("scroll", mark, { passive: true });
  mark();
})();
