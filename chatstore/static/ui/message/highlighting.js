// Colours code: loads highlight.js and a language when first met, and makes nodes of its tree.
import { html } from "../html.js";

const MAX_LENGTH = 50_000;
const LANGUAGES = [
  "bash", "c", "cpp", "csharp", "css", "diff", "dockerfile", "go", "ini", "java", "javascript",
  "json", "markdown", "php", "python", "ruby", "rust", "sql", "typescript", "xml", "yaml",
];
/** @type {Map<string, string>} */
const ALIASES = new Map(Object.entries({
  "c#": "csharp", "c++": "cpp", "console": "bash", "cs": "csharp", "cc": "cpp", "docker": "dockerfile",
  "golang": "go", "h": "c", "hpp": "cpp", "html": "xml", "js": "javascript", "jsonc": "json",
  "jsonl": "json", "jsx": "javascript", "md": "markdown", "mjs": "javascript", "patch": "diff",
  "postgresql": "sql", "py": "python", "python3": "python", "rb": "ruby", "rs": "rust", "sh": "bash",
  "shell": "bash", "sqlite": "sql", "svg": "xml", "toml": "ini", "ts": "typescript",
  "tsx": "typescript", "yml": "yaml", "zsh": "bash",
}));
/** The six colours, by the beginning of a scope's name. @type {[string, string][]} */
const COLOURS = [
  ["comment", "c"], ["quote", "c"], ["title.class", "y"], ["title", "f"], ["section", "f"],
  ["type", "y"], ["built_in", "y"], ["class", "y"], ["tag", "y"], ["name", "k"], ["keyword", "k"],
  ["selector", "k"], ["meta", "k"], ["doctag", "k"], ["operator", ""], ["string", "s"],
  ["regexp", "s"], ["char", "s"], ["addition", "s"], ["number", "m"], ["literal", "m"],
  ["symbol", "m"], ["bullet", "m"], ["deletion", "m"], ["attr", "f"], ["property", "f"],
  ["variable", "y"], ["template", "y"], ["subst", ""], ["code", "s"], ["link", "s"],
];

/** The language that we can colour, or null. @param {string} name as the message says it */
export function knownLanguage(name) {
  const small = name.toLowerCase();
  return LANGUAGES.includes(small) ? small : (ALIASES.get(small) ?? null);
}

/**
 * Nodes for code, or null if it stays plain: unknown, too long, or the files are away.
 * @param {string} code @param {string} name @returns {Promise<any[] | null>}
 */
export async function highlight(code, name) {
  const language = knownLanguage(name);
  if (!language || code.length > MAX_LENGTH) return null;
  try {
    const [{ default: core }, { default: grammar }] = await Promise.all([
      import("highlight.js"),
      import(`highlight.js/${language}.js`),
    ]);
    if (!core.getLanguage(language)) core.registerLanguage(language, grammar);
    const result = core.highlight(code, { language, ignoreIllegals: true });
    return nodesOf(result._emitter.rootNode.children);
  } catch {
    return null;
  }
}

/** @param {any[]} children of a node of highlight.js: texts and nodes @returns {any[]} */
function nodesOf(children) {
  return children.map((each) => {
    if (typeof each === "string") return each;
    const inner = nodesOf(each.children ?? []);
    const colour = COLOURS.find(([start]) => String(each.scope ?? "").startsWith(start))?.[1];
    return colour ? html`<span class=${colour}>${inner}</span>` : inner;
  });
}
