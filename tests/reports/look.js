// What an eye would find wrong with the page as it is shown now: a list of sentences, empty if nothing.
(() => {
  const faults = [];
  const told = (node) => JSON.stringify((node.textContent || "").trim().slice(0, 60));
  const visible = (node) => node.getClientRects().length > 0;
  const plots = [...document.querySelectorAll("svg.plot")].filter(visible);

  // Everything of a plot lies inside of its image, and every line is really drawn.
  for (const plot of plots) {
    const label = plot.getAttribute("aria-label");
    if (plot.getAttribute("role") !== "img" || !label) faults.push("a plot without role or label");
    const frame = plot.viewBox.baseVal;
    for (const node of plot.querySelectorAll("text, path")) {
      const box = node.getBBox();
      if (box.x < -0.5 || box.y < -0.5 || box.x + box.width > frame.width + 0.5 || box.y + box.height > frame.height + 0.5)
        faults.push(`${label}: ${node.tagName} ${told(node)} lies outside of the image: ${box.x} ${box.y} ${box.width} ${box.height}`);
    }
    const lines = [...plot.querySelectorAll("g .line")];
    if (lines.length === 0) faults.push(`${label}: no line`);
    for (const line of lines) if (!(line.getTotalLength() > 0)) faults.push(`${label}: a line is not drawn`);
    if (plot.querySelectorAll("text.tick").length < 4) faults.push(`${label}: hardly any ticks`);
  }

  // No text lies over another one.
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim() || node.parentElement.closest("script, style, title, #tip, details:not([open]) > :not(summary)")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (box.width > 1 && box.height > 1) texts.push([box, node]);
  }
  for (let one = 0; one < texts.length; one++)
    for (let other = one + 1; other < texts.length; other++) {
      const [a, b] = [texts[one][0], texts[other][0]];
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      // Lines of one paragraph touch each other with their empty edges.
      if (wide > 1 && high > 5) faults.push(`${told(texts[one][1])} and ${told(texts[other][1])} lie over each other`);
    }

  // In print nothing can be moved.
  const moved = (node) => (node = node.closest(".scroll")) && getComputedStyle(node).overflowX !== "visible";
  // Nothing is cut or sticks out: only tables may be moved sideways, inside of their own frame.
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} wide, the window ${innerWidth}`);
  for (const node of document.querySelectorAll("main *:not(svg *)"))
    if (node instanceof HTMLElement && visible(node) && !moved(node) && node.scrollWidth > node.clientWidth + 1 && node.clientWidth > 0)
      faults.push(`${node.tagName} ${told(node)} is cut: ${node.scrollWidth} in ${node.clientWidth}`);

  // Everything can be read: 4.5 to 1 for text, 3 to 1 for lines, as WCAG asks.
  const rgb = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = (colour) => {
    const [r, g, b] = rgb(colour).map((part) => ((part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const contrast = (node, colour) => {
    const [a, b] = [light(colour), light(ground(node))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  for (const [, node] of texts) {
    const holder = node.parentElement;
    const style = getComputedStyle(holder);
    const found = contrast(holder, holder instanceof SVGElement ? style.fill : style.color);
    if (found < 4.5) faults.push(`${told(node)} is hard to read: ${found.toFixed(2)} to 1`);
  }
  for (const line of document.querySelectorAll("svg.plot g .line")) {
    const found = contrast(line.parentElement, getComputedStyle(line).stroke);
    if (visible(line) && found < 3) faults.push(`a line is hard to see: ${found.toFixed(2)} to 1`);
  }
  return { plots: plots.length, faults: [...new Set(faults)] };
})();
