// What is hard to read or to reach in this page; `good` where nothing is.
(() => {
  const faults = [];
  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = parse(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || ['STYLE', 'SCRIPT'].includes(element.tagName)) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faults.push(`${contrast.toFixed(2)}: ${text}`);
  }
  for (const field of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (!field.labels.length) faults.push(`no label: ${field.name}`);
  }
  for (const button of document.querySelectorAll('button, a')) {
    if (!(button.ariaLabel ?? button.textContent).trim()) faults.push('a button without words');
  }
  if (!document.documentElement.lang || document.querySelectorAll('h1').length !== 1) faults.push('outline');
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`wider than ${innerWidth}`);
  return faults.length ? faults.join('; ') : 'good';
})()
