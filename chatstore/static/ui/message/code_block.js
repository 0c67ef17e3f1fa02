// One block of code: its language, Wrap, an exact Copy, and colours once they are loaded.
import { useEffect, useMemo, useState } from "preact/hooks";
import { CopyButton } from "./copy_button.js";
import { classes, h, html } from "../html.js";
import { Icon } from "../icons.js";
import { words } from "../words.js";

const MAX_LINES = 400;
const FOLDED_LINES = 40;

/**
 * @param {{ code: string, language?: string, source?: string }} props
 * `source` is what Copy copies, if `code` is only a form of it.
 */
export function CodeBlock({ code, language = "", source = code }) {
  const [isWrapped, setWrapped] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const lines = useMemo(() => code.split("\n"), [code]);
  const isFolded = lines.length > MAX_LINES && !isOpen;
  const shown = isFolded ? lines.slice(0, FOLDED_LINES).join("\n") : code;
  const nodes = useHighlighted(shown, language);
  const name = language.slice(0, 40) || words.plainCode;
  return html`<figure class="code" dir="ltr">
    <figcaption>
      <span class="code-language">${name}</span>
      <button type="button" class="code-button" aria-pressed=${String(isWrapped)}
        onClick=${() => setWrapped(!isWrapped)}>${h(Icon, { name: "wrap" })}${words.wrap}</button>
      ${h(CopyButton, { text: () => source, label: words.copy, className: "code-button", hasWord: true })}
    </figcaption>
    <pre tabindex="0" role="group" aria-label=${words.codeIn(name)}
      class=${classes(isWrapped && "is-wrapped")}><code>${nodes ?? shown}</code></pre>
    ${lines.length > MAX_LINES && html`<button type="button" class="code-more" aria-expanded=${String(isOpen)}
      onClick=${() => setOpen(!isOpen)}>${isOpen ? words.showLess : words.showLines(lines.length)}</button>`}
  </figure>`;
}

/** Nodes once they are there; null for plain text. @param {string} code @param {string} language */
function useHighlighted(code, language) {
  const [made, setMade] = useState(/** @type {{ code: string, nodes: any } | null} */ (null));
  useEffect(() => {
    let isCurrent = true;
    if (language) {
      import("./highlighting.js").then(({ highlight }) => highlight(code, language))
        .then((nodes) => isCurrent && nodes && setMade({ code, nodes }), () => {});
    }
    return () => void (isCurrent = false);
  }, [code, language]);
  return made?.code === code ? made.nodes : null;
}
