// xterm.js writes style sheets and style attributes into the page, which the relay's policy forbids
// (`style-src 'self'`). What a script sets through the object model it allows, so xterm.js is handed a
// document that turns the one into the other.

/** The page's document, for xterm.js. */
export const strictDocument = () => new Proxy(document, {
  get(target, name) {
    if (name === 'createElement') return create;
    const value: unknown = Reflect.get(target, name, target);
    return typeof value === 'function' ? value.bind(target) : value;
  },
});

/** Has what `act` makes of the page's own document made so, too: a part of xterm.js does not look at
    the one it is handed. */
export function strictly(act: () => void) {
  Object.assign(document, { createElement: create });
  try {
    act();
  } finally {
    Reflect.deleteProperty(document, 'createElement');
  }
}

function create(tag: string, options?: ElementCreationOptions): HTMLElement {
  if (tag === 'style') return sheet();
  const element: HTMLElement = Document.prototype.createElement.call(document, tag, options);
  if (tag === 'span') {
    element.setAttribute = (name, value) => {
      if (name === 'style') element.style.cssText = value;
      else HTMLElement.prototype.setAttribute.call(element, name, value);
    };
  }
  return element;
}

/** An element whose text is a style sheet of the page, as long as it is there. */
function sheet(): HTMLElement {
  const element = Document.prototype.createElement.call(document, 'template');
  const rules = new CSSStyleSheet();
  document.adoptedStyleSheets.push(rules);
  let text = '';
  Object.defineProperty(element, 'textContent', {
    get: () => text,
    set: (css: string) => {
      text = css;
      rules.replaceSync(css);
    },
  });
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== rules);
    HTMLElement.prototype.remove.call(element);
  };
  return element;
}
