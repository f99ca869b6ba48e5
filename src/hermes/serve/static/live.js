"use strict";
// Redraws the tables of the overview when the server sends changes; every value is set as text.
(() => {
  const by = id => document.getElementById(id);
  const draw = (id, rows) => {
    by(id).tBodies[0].replaceChildren(...rows.map(row => {
      const line = document.createElement("tr");
      line.classList.toggle("stale", row.stale);
      line.append(...row.cells.map((text, place) => {
        const cell = document.createElement("td");
        const inside = place === 0 && row.link ? document.createElement("a") : cell;
        if (inside !== cell) { inside.setAttribute("href", row.link); cell.append(inside); }
        inside.textContent = text;
        return cell;
      }));
      return line;
    }));
    by(`${id}-empty`).hidden = rows.length > 0;
  };
  const note = texts => by("notes").replaceChildren(...texts.map(text => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  const say = (text, live) => {
    by("state").textContent = text;
    by("state").classList.toggle("live", live);
    by("at").textContent = live ? `, last change ${new Date().toISOString().slice(0, 19).replace("T", " ")}` : "";
  };
  const source = new EventSource("/events");
  source.addEventListener("status", event => {
    const told = JSON.parse(event.data);
    draw("status", told.rows);
    note(told.notes);
    say("live", true);
  });
  source.addEventListener("record", event => {
    draw("record", JSON.parse(event.data).rows);
    say("live", true);
  });
  source.addEventListener("trouble", event => {
    const told = JSON.parse(event.data);
    say(`trouble: ${told.error}${told.cure ? ` → ${told.cure}` : ""}`, false);
  });
  source.onerror = () => say("the server does not answer", false);
})();
