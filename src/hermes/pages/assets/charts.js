"use strict";
(() => {
  const root = document.documentElement;
  const every = (selector, within = document) => [...within.querySelectorAll(selector)];

  // --- tables: a click on a heading sorts -------------------------------------------------------------------------
  for (const table of every("table.sortable")) {
    const heads = every("thead th", table);
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(each => each.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = row => Number(row.cells[column].dataset.v);
      const rows = every("tbody tr", table).sort((a, b) => down ? value(b) - value(a) : value(a) - value(b));
      table.tBodies[0].append(...rows);
    }));
  }

  // --- charts -----------------------------------------------------------------------------------------------------
  const MARK_DISTANCE = 13; // pixels between a candle and the middle of its marks
  const plots = () => Bokeh.documents[0].roots();

  // Canvas cannot read the page's variables, so the colours in force are handed to it.
  const paint = () => {
    const probe = document.body.appendChild(document.createElement("i"));
    const color = name => { probe.style.color = `var(${name})`; return getComputedStyle(probe).color; };
    const [soft, grid] = [color("--soft"), color("--grid")];
    probe.remove();
    for (const plot of plots()) {
      for (const axis of [...plot.below, ...plot.right]) axis.major_label_text_color = soft;
      for (const each of plot.center) if (each.type === "Grid" && each.dimension === 1) each.grid_line_color = grid;
    }
    Bokeh.documents[0].get_model_by_name("cursor").line_color = soft;
  };

  // Round numbers for a log axis: 1-2-5 over a wide range, even steps over a narrow one.
  const ticks = (low, high) => {
    const found = [];
    if (high / low > 4) {
      for (let ten = 10 ** Math.floor(Math.log10(low)); ten <= high; ten *= 10)
        for (const digit of [1, 2, 5]) if (digit * ten >= low && digit * ten <= high) found.push(digit * ten);
    } else {
      const rough = (high - low) / 6, ten = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].find(digit => digit * ten >= rough) * ten;
      for (let tick = Math.ceil(low / step); tick * step <= high; tick++) found.push(Number((tick * step).toPrecision(12)));
    }
    return found;
  };
  const position = (sorted, value) => {
    let [low, high] = [0, sorted.length];
    while (low < high) { const middle = (low + high) >> 1; sorted[middle] < value ? low = middle + 1 : high = middle; }
    return low;
  };

  // Keeps a y axis to the values in view, and hands Bokeh only the bars in view: it draws those that are not, too.
  const follow = plot => {
    const {x_range: time, y_range: range} = plot, ticker = plot.right[0].ticker;
    const source = Bokeh.documents[0].get_model_by_name(`${plot.name} bars`);
    const all = Object.fromEntries(source.columns().map(name => [name, Float64Array.from(source.get_column(name))]));
    const times = all.time, columns = range.tags.map(name => all[name]);
    const log = plot.tags.includes("log"), rebased = plot.tags.includes("rebased");
    const marks = plot.renderers.map(each => each.data_source).filter(each => each.tags.includes("mark"));

    // 100 at the first bar in view: `equity index` is made of `equity`.
    const rebase = (first, last) => {
      for (const name of range.tags) {
        const amounts = all[name.replace(/ index$/, "")], base = amounts[Math.min(first, times.length - 1)];
        const from = Math.max(0, first - 1), to = Math.min(last, times.length - 1);
        for (let row = from; row <= to; row++) all[name][row] = base > 0 ? 100 * amounts[row] / base : NaN;
      }
    };
    // As many pixels away from the candle, however far the view is zoomed.
    const setOff = (start, end) => {
      const away = (end / start) ** (MARK_DISTANCE / (plot.inner_height || 400));
      for (const mark of marks) {
        const by = mark.tags.includes("below") ? 1 / away : away;
        mark.data = {...mark.data, y: Float64Array.from(mark.get_column("edge"), edge => edge * by)};
      }
    };
    const fit = () => {
      const [from, to] = [position(times, time.start), position(times, time.end)];
      if (to - from < times.length || source.get_column("time").length < times.length) {
        if (rebased) rebase(from, to);
        const cut = ([name, column]) => [name, column.subarray(Math.max(0, from - 1), to + 1)];
        source.data = Object.fromEntries(Object.entries(all).map(cut));
      }
      let [low, high] = [Infinity, -Infinity];
      for (const column of columns) for (let row = from; row < to; row++) {
        const value = column[row];
        if (value < low && (value > 0 || !log)) low = value;
        if (value > high) high = value;
      }
      if (plot.tags.includes("from 0")) low = Math.min(low, 0);
      if (high < 0) high = 0; // drawdowns hang from 0
      if (!(high >= low)) return; // no values, or an axis with fixed ends
      const still = high === low ? Math.abs(high) * 0.01 || 1 : 0;
      const room = marks.length ? 0.09 : 0.06;
      const [start, end] = log
        ? [low / ((high + still) / low) ** room, (high + still) * ((high + still) / low) ** room]
        : [low - 0.06 * (high - low + still), high + 0.06 * (high - low + still)];
      range.setv({start: plot.tags.includes("from 0") ? low : start, end});
      if (log) ticker.ticks = ticks(start, end);
      setOff(start, end);
    };
    time.change.connect(fit);
    fit();
  };

  // A finger that moves up or down scrolls the page; one that moves sideways moves the charts.
  const touch = node => {
    for (const each of node.querySelectorAll("*")) {
      if (each.classList.contains("bk-events")) each.style.setProperty("touch-action", "pan-y", "important");
      if (each.shadowRoot) touch(each.shadowRoot);
    }
  };

  const navigate = () => {
    const time = plots()[0].x_range;
    const [first, last] = time.bounds; // with a margin around the bars
    const lastBar = Bokeh.documents[0].get_model_by_name(`${plots()[0].name} bars`).get_column("time").at(-1);
    const show = (from, to) => {
      const width = Math.min(to - from, last - first);
      const start = Math.max(first, Math.min(from, last - width));
      time.setv({start, end: start + width});
    };
    const spans = every(".spans [data-days]");
    const mark = chosen => spans.forEach(each => each.classList.toggle("on", each === chosen));
    for (const button of spans) button.addEventListener("click", () => {
      const days = Number(button.dataset.days), width = days * 864e5;
      const end = Math.min(time.end, lastBar + width * 0.02);
      days ? show(end - width, end) : show(first, last);
      mark(button);
    });
    for (const button of every(".spans [data-step]")) button.addEventListener("click", () => {
      const by = Number(button.dataset.step) * (time.end - time.start) * 0.8;
      show(time.start + by, time.end + by);
    });
    for (const button of every(".go")) button.addEventListener("click", () => {
      const from = Number(button.dataset.from), to = Number(button.dataset.to ?? lastBar);
      const pad = Math.max(to - from, 40 * time.min_interval / 8) * 0.75;
      show(from - pad, to + pad);
      mark(null);
      document.getElementById("charts").scrollIntoView({behavior: "smooth"});
    });
  };

  const start = async () => {
    Bokeh.set_log_level("error");
    const {documents, items} = JSON.parse(document.getElementById("charts-json").textContent);
    await Bokeh.embed.embed_items(documents, items);
    paint();
    plots().forEach(follow);
    touch(document);
    navigate();
    root.dataset.ready = "yes";
  };
  start();

  root.addEventListener("theme", () => root.dataset.ready && paint());
})();
