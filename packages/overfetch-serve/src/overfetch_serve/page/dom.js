// Elements without HTML: whatever a document or an answer says becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

/** One element. Attributes: text, true for a bare one, null or false for none; functions listen (`onclick`). */
export function h(tag, attributes, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const $ = (id) => document.getElementById(id);

/** Says it to those who listen to the page. */
export function tell(text) {
  $("told").textContent = text;
}

/** A button that copies, and says so. */
export function copyButton(label, textOf) {
  const button = h("button", { type: "button", class: "quiet", onclick: copy }, label);
  async function copy() {
    try {
      await navigator.clipboard.writeText(textOf());
      tell("Copied");
      button.textContent = "Copied";
    } catch {
      tell("Copying is not allowed here: select the text instead");
      button.textContent = "Not allowed";
    }
    setTimeout(() => (button.textContent = label), 1600);
  }
  return button;
}

/** Opens below its button, within the window, and gives the first field the focus. */
export function placePanels() {
  for (const panel of document.querySelectorAll("[popover]")) {
    const button = document.querySelector(`[popovertarget="${panel.id}"]`);
    panel.addEventListener("beforetoggle", (event) => {
      if (event.newState === "open") requestAnimationFrame(() => place(panel, panel.opener ?? button));
    });
  }
}

export function place(panel, button) {
  const at = button.getBoundingClientRect();
  const most = document.documentElement.clientWidth - panel.offsetWidth - 12;
  panel.style.left = `${Math.max(12, Math.min(at.left, most)) + scrollX}px`;
  panel.style.top = `${at.bottom + 6 + scrollY}px`;
  panel.querySelector("input, select, button")?.focus();
}
