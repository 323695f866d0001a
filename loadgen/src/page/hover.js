// Tells the values under the pointer. The page says everything without it.
"use strict";
{
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const digits = (v) => (v >= 99.95 ? Math.round(v).toLocaleString("en").replaceAll(",", "\u202f") : v >= 9.995 ? v.toFixed(1) : v.toFixed(2));
  const time = (us) => (us >= 999500 ? digits(us / 1e6) + " s" : us >= 999.5 ? digits(us / 1e3) + " ms" : digits(us) + " µs");
  for (const plot of document.querySelectorAll("svg[data-x]")) {
    const [left, right, low, high] = plot.dataset.x.split(" ").map(Number);
    const y = plot.dataset.y.trim().split(" ");
    const [bottom, top, from, to] = y.slice(0, 4).map(Number);
    const tell = y[5] === "us" ? time : digits;
    const valueAt = (py) => {
      const part = (bottom - py) / (bottom - top);
      return y[4] === "log" ? from * (to / from) ** part : from + (to - from) * part;
    };
    const lines = [...plot.querySelectorAll("g[data-name]")].map((group) => ({
      name: group.dataset.name,
      colour: group.getAttribute("class"),
      points: (group.querySelector(".line").getAttribute("d").match(/[ML][^ML]+/g) || []).map((at) => at.slice(1).split(" ").map(Number)),
    }));
    plot.addEventListener("pointermove", (event) => {
      const px = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse()).x;
      tip.replaceChildren();
      let shown;
      for (const line of lines) {
        let nearest;
        for (const point of line.points) if (!nearest || Math.abs(point[0] - px) < Math.abs(nearest[0] - px)) nearest = point;
        if (!nearest || Math.abs(nearest[0] - px) > 24) continue;
        if (shown === undefined) {
          shown = low + ((nearest[0] - left) / (right - left)) * (high - low);
          const head = document.createElement("b");
          head.textContent = digits(shown).replace(/\.0+$/, "") + " s";
          tip.append(head);
        }
        const row = document.createElement("div");
        const swatch = document.createElement("span");
        swatch.className = "swatch " + line.colour;
        row.append(swatch, line.name + "  " + tell(valueAt(nearest[1])));
        tip.append(row);
      }
      tip.hidden = shown === undefined;
      const box = tip.getBoundingClientRect();
      tip.style.left = Math.min(event.clientX + 14, innerWidth - box.width - 8) + "px";
      tip.style.top = Math.max(8, event.clientY - box.height - 14) + "px";
    });
    plot.addEventListener("pointerleave", () => (tip.hidden = true));
  }
}
