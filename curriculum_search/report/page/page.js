// Draws the plots of a report in the reader's light or dark mode, and for paper in light mode and at its width.
(() => {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const root = document.documentElement;
  const chosen = new Map(plots.map((plot) => [plot.name, 0]));
  const PAPER_WIDTH = 700; // of an A4 page between its margins, in CSS pixels

  // "$ink" is the style sheet's --ink, and "$ink/0.2" a fifth of it.
  const NAME = /^\$(\w+)(?:\/([\d.]+))?$/;
  function coloured(value, style) {
    if (Array.isArray(value)) return value.map((item) => coloured(item, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, coloured(item, style)]));
    }
    const match = typeof value === "string" && value.startsWith("$") && NAME.exec(value);
    if (!match) return value;
    const hex = style.getPropertyValue("--" + match[1]).trim();
    if (match[2] === undefined) return hex;
    const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${parts.join(",")},${match[2]})`;
  }

  function draw(plot) {
    const place = document.getElementById("plot-" + plot.name);
    const view = plot.views[chosen.get(plot.name)];
    const style = getComputedStyle(root);
    const box = place.querySelector(".canvas");
    const layout = coloured(view.layout, style);
    layout.width = Math.max(box.clientWidth, 1);
    layout.height = Number(place.dataset.height);
    const config = {
      displaylogo: false,
      plotGlPixelRatio: 1, // lines of parallel coordinates are one pixel wide
      displayModeBar: "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
      toImageButtonOptions: { format: "svg", filename: plot.name },
    };
    box.dataset.width = layout.width;
    return Plotly.newPlot(box, coloured(view.data, style), layout, config);
  }

  function furnish(plot) {
    const place = document.getElementById("plot-" + plot.name);
    if (plot.views.length > 1) {
      const bar = document.createElement("div");
      bar.className = "views";
      plot.views.forEach((view, number) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = view.title;
        button.setAttribute("aria-pressed", String(number === 0));
        button.addEventListener("click", () => {
          chosen.set(plot.name, number);
          [...bar.children].forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
          draw(plot);
        });
        bar.append(button);
      });
      place.append(bar);
    }
    const box = document.createElement("div");
    box.className = "canvas";
    box.style.height = place.dataset.height + "px";
    place.append(box);
  }

  const width = (plot) => document.querySelector(`#plot-${plot.name} .canvas`).clientWidth;
  const drawnAt = (plot) => Number(document.querySelector(`#plot-${plot.name} .canvas`).dataset.width);
  const drawAll = () => plots.forEach(draw);

  plots.forEach(furnish);
  (async () => {
    for (const plot of plots) {
      await draw(plot);
      await new Promise((resolve) => setTimeout(resolve)); // the reader can scroll meanwhile
    }
    root.dataset.ready = "true";
  })();

  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => plots.filter((plot) => width(plot) !== drawnAt(plot)).forEach(draw), 150);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    root.dataset.print = "true";
    document.body.style.width = PAPER_WIDTH + "px";
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.print;
    document.body.style.width = "";
    drawAll();
  });

  document.querySelectorAll(".over-time").forEach((place) => {
    const [slider, output] = ["input", "output"].map((name) => place.querySelector(name));
    const frames = [...place.children].filter((child) => child.dataset.words);
    const show = () => {
      frames.forEach((frame, number) => (frame.hidden = number !== Number(slider.value)));
      output.textContent = frames[slider.value].dataset.words;
      slider.setAttribute("aria-valuetext", output.textContent);
    };
    slider.addEventListener("input", show);
    show(); // a page that is loaded again keeps where its slider was
  });

  document.querySelectorAll(".command button").forEach((button) => {
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.previousElementSibling.textContent);
      button.textContent = "copied";
      setTimeout(() => (button.textContent = "copy"), 1500);
    });
  });
})();
