"use strict";
// The leaderboard: all rows are sorted and filtered as numbers, only those in view stand in the page.
(() => {
  const data = JSON.parse(document.getElementById("datasets").textContent);
  const box = document.querySelector(".leaders"), table = box.querySelector("table"), body = table.tBodies[0];
  const make = (tag, kind = "", text = "") => Object.assign(document.createElement(tag), {className: kind, textContent: text});

  // --- figures, written as elsewhere on Hermes' pages -------------------------------------------------------------
  const THIN = "\u202f";
  const power = value => value.toExponential(2).replace(/\.?0*e\+/, " × 10^");
  const format = decimals => {
    const options = {minimumFractionDigits: decimals, maximumFractionDigits: decimals, roundingMode: "halfEven", signDisplay: "negative"};
    const {format} = new Intl.NumberFormat("en-US", options);
    // Given as text it is rounded from its exact value, as Python does, and not from its shortest spelling.
    return value => (Math.abs(value) < 1e15 ? format(value.toFixed(20)) : power(value)).replace("-", "\u2212");
  };
  const [count, number] = [format(0), format(2)];
  const percent = value => `${number(value)}${THIN}%`;
  const two = (large, unit, small, rest) => `${count(large)}${THIN}${unit}${small ? ` ${small}${THIN}${rest}` : ""}`;
  const duration = value => {
    const seconds = Math.round(value), days = Math.floor(seconds / 86400), hours = Math.floor(seconds % 86400 / 3600);
    const minutes = Math.floor(seconds % 3600 / 60);
    return days ? two(days, "d", hours, "h") : hours ? two(hours, "h", minutes, "min") : two(minutes, "min", seconds % 60, "s");
  };
  const moment = value => new Date(value * 1000).toISOString().slice(0, value % 60 ? 19 : 16).replace("T", " ");
  const change = value => (value > 0 && /[1-9]/.test(number(value)) ? "+" : "") + percent(value);
  const write = {count, number, percent, change, duration, moment};

  // --- columns ----------------------------------------------------------------------------------------------------
  // Datasets come in the order of their symbols: a text is sorted by the number of its row, a name by its own.
  const columns = data.columns.map(column => {
    const {kind, names, values} = column;
    const sorts = kind === "text" ? Float64Array.from(values.keys()) : Float64Array.from(values, value => value ?? NaN);
    const show = kind === "text" ? at => values[at] : names ? at => names[sorts[at]] : at => write[kind](sorts[at]);
    return {...column, sorts, show, left: kind === "text" || kind === "name"};
  });
  const column = key => columns.find(each => each.key === key);
  const [symbol, interval, trades] = ["symbol", "interval", "trades"].map(column);
  const few = at => trades.sorts[at] < data.few;

  // --- order and choice -------------------------------------------------------------------------------------------
  const order = Uint32Array.from(symbol.values.keys());
  let shown = order, sorted = column("sharpe"), down = true;
  const sort = () => {
    const by = sorted.sorts;
    order.sort((a, b) => {
      const [x, y] = [by[a], by[b]];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b; // without a figure: last
      return (down ? y - x : x - y) || a - b;
    });
  };
  const [search, intervals, enough] = ["search", "intervals", "enough"].map(id => document.getElementById(id));
  const plain = text => text.normalize("NFC").toLowerCase();
  const texts = symbol.values.map(plain);
  const choose = () => {
    const asked = plain(search.value).split(/\s+/).map(word => word.replace(/[/-]/g, "")).filter(Boolean);
    const found = at => asked.every(word => texts[at].includes(word) || interval.show(at) === word);
    const wanted = intervals ? intervals.value : "";
    shown = order.filter(at => (!wanted || interval.show(at) === wanted) && !(enough.checked && few(at)) && found(at));
    document.getElementById("shown").textContent =
      `${count(shown.length)} of ${count(order.length)} datasets, sorted by ${sorted.label}, ${down ? "descending" : "ascending"}`;
  };

  // --- rows in view -----------------------------------------------------------------------------------------------
  const cell = (column, at) => {
    const {kind, sorts} = column;
    const head = kind === "text", node = make(head ? "th" : "td", column.left ? "text" : "");
    if (Number.isNaN(sorts[at])) {
      node.textContent = "–";
      node.className = "soft";
      node.title = trades.sorts[at] ? column.missing : "it never traded";
      return node;
    }
    const shown = column.show(at);
    if (head) {
      node.scope = "row";
      const name = node.appendChild(make(data.links[at] ? "a" : "bdi", "", shown));
      if (data.links[at]) { name.href = data.links[at]; name.dir = "auto"; }
      if (data.simulated[at]) node.append(make("span", "mark", "simulated"));
      return node;
    }
    node.textContent = shown;
    if (kind === "change" && sorts[at]) node.className = sorts[at] > 0 ? "up" : "down";
    if ((column === trades || column.key === "sharpe") && few(at)) {
      node.className = "few";
      node.title = `${count(trades.sorts[at])} trade${trades.sorts[at] === 1 ? "" : "s"}: too few to conclude`;
      if (column === trades) node.append(make("span", "mark", "few"));
    }
    return node;
  };
  const space = () => {
    const row = make("tr", "space"), inside = row.appendChild(make("td"));
    row.ariaHidden = "true";
    inside.colSpan = columns.length;
    return row;
  };
  const [above, below] = [space(), space()];
  body.replaceChildren(above, below);
  const drawn = new Map(); // place in the order shown → its row
  let height = 32;
  const spread = (before, after) => {
    above.firstChild.style.height = `${before * height}px`;
    below.firstChild.style.height = `${after * height}px`;
  };
  const draw = () => {
    const from = Math.max(0, Math.min(Math.floor(box.scrollTop / height), shown.length) - 12);
    const to = Math.min(shown.length, from + Math.ceil(box.clientHeight / height) + 24);
    spread(from, shown.length - from); // too much for a moment: a box that shrank would forget where it was scrolled to
    for (const [place, row] of drawn) if (place < from || place >= to) { row.remove(); drawn.delete(place); }
    let next = above.nextSibling;
    for (let place = from; place < to; place++) {
      let row = drawn.get(place);
      if (!row) {
        row = make("tr");
        row.ariaRowIndex = place + 2;
        row.append(...columns.map(column => cell(column, shown[place])));
        drawn.set(place, row);
        next.before(row);
      }
      next = row.nextSibling;
    }
    spread(from, shown.length - to);
  };
  const again = () => {
    choose();
    for (const row of drawn.values()) row.remove();
    drawn.clear();
    spread(0, shown.length); // the box takes the height that it will have
    box.scrollTop = 0;
    table.ariaRowCount = shown.length + 1;
    draw();
  };

  // --- headings ---------------------------------------------------------------------------------------------------
  // A column is as wide as its widest figure, so that nothing moves while rows come and go.
  const wide = text => [...text].reduce((sum, letter) => sum + (letter > "\u2e7f" ? 2 : 1), 0);
  const width = ({kind, names, values, sorts}) => {
    const extremes = () => {
      let [low, high] = [Infinity, -Infinity];
      for (const value of sorts) { if (value < low) low = value; if (value > high) high = value; }
      return high < low ? ["–"] : [low, high].map(write[kind]);
    };
    const texts = kind === "text" ? values : names ?? extremes();
    return texts.reduce((most, text) => Math.max(most, wide(text)), 7);
  };
  const marks = Object.fromEntries([["trades", data.anyFew ? 5 : 0], ["symbol", data.simulated.some(Boolean) ? 9 : 0]]);
  const heads = columns.map(column => {
    const head = make("th", column.left ? "text" : ""), button = head.appendChild(make("button", "", column.label));
    head.scope = "col";
    head.dataset.key = column.key;
    head.style.minWidth = `calc(${width(column) + (marks[column.key] ?? 0)}ch + 1.375rem)`;
    button.title = column.says;
    button.addEventListener("click", () => {
      down = sorted === column ? !down : !column.left; // figures begin with the highest, names with the first
      sorted = column;
      sort();
      mark();
      again();
    });
    return head;
  });
  const mark = () => heads.forEach((head, at) =>
    head.setAttribute("aria-sort", columns[at] !== sorted ? "none" : down ? "descending" : "ascending"));
  table.tHead.rows[0].replaceChildren(...heads);

  for (const field of [search, intervals, enough]) field?.addEventListener("input", again);
  let waiting = false;
  const later = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
  box.addEventListener("scroll", later, {passive: true});
  new ResizeObserver(later).observe(box);
  mark();
  sort();
  again();
  const measured = body.querySelector("tr:not(.space)")?.getBoundingClientRect().height;
  if (measured) { height = measured; draw(); }
  document.documentElement.dataset.ready = "yes";
})();
