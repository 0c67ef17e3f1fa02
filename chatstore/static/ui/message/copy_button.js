// A button that copies a text and says whether it did.
import { useEffect, useState } from "preact/hooks";
import { copyText } from "../copy.js";
import { h, html } from "../html.js";
import { Icon } from "../icons.js";
import { announce, notify } from "../notices.js";
import { words } from "../words.js";

const SHOWN_MS = 2_000;

/**
 * Copy, and say so. @param {string} text @param {string} [said]
 * @returns {Promise<boolean>}
 */
export async function copyAndSay(text, said = words.copied) {
  const isCopied = await copyText(text);
  if (isCopied) announce(said);
  else notify({ text: words.copyFailed, isError: true });
  return isCopied;
}

/**
 * @param {{ text: () => string, label: string, className?: string, icon?: string, hasWord?: boolean }} props
 * `text` is asked when the button is pressed.
 */
export function CopyButton({ text, label, className = "icon-button", icon = "copy", hasWord = false }) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const timer = isCopied ? setTimeout(() => setCopied(false), SHOWN_MS) : 0;
    return () => clearTimeout(timer);
  }, [isCopied]);
  const copy = async () => setCopied(await copyAndSay(text()));
  return html`<button type="button" class=${className} aria-label=${hasWord ? null : label}
    title=${hasWord ? null : label} onClick=${copy}>
    ${h(Icon, { name: isCopied ? "check" : icon })}${hasWord && (isCopied ? words.copied : label)}
  </button>`;
}
