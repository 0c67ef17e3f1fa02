// The commands that the palette offers beside what it finds.
import { listKeys } from "../keys.js";
import { go } from "../router.js";
import { applyTheme } from "../pages/appearance.js";
import { words } from "../words.js";

/** @typedef {{ name: string, icon: string, key: string, run: () => unknown }} Command */

// Keys that move or choose; a command that the palette has no use for.
const NO_COMMANDS = /^(ctrl\+[kf]|[/jkx?[\]]|F\d+|Home|End|Enter|Escape|Arrow\w+|(ctrl|shift)\+(Enter|F\d+))$/;

/** All commands that can be given now: places, themes, and what keys do in this view.
 * @returns {Command[]} */
export function listCommands() {
  const places = Object.entries(words.palette.places).map(([path, name]) => ({
    name, icon: path === "/usage" ? "chart" : path === "/settings" ? "settings" : "right",
    key: path === "/usage" ? "u" : "", run: () => go(path),
  }));
  const themes = Object.entries(words.palette.themeCommands).map(([theme, name]) => ({
    name, icon: "settings", key: "", run: () => applyTheme(theme),
  }));
  const known = new Set(places.map((each) => each.name));
  const keys = listKeys().filter((each) => !NO_COMMANDS.test(each.key) && !known.has(each.meaning));
  const meanings = new Map(keys.map((each) => [each.meaning, each]));
  const acts = [...meanings.values()].map(({ meaning, key, run }) => ({
    name: meaning, icon: "enter", key, run: () => run(new KeyboardEvent("keydown", { key: key.split("+").at(-1) })),
  }));
  return [...acts, ...places, ...themes];
}

/** The commands that have all typed words in their name, with the matches in it.
 * @param {Command[]} commands @param {string} text */
export function matchCommands(commands, text) {
  const sought = text.toLowerCase().split(/\s+/).filter(Boolean);
  return commands.flatMap((command) => {
    const name = command.name.toLowerCase();
    const places = sought.map((each) => name.indexOf(each));
    if (places.includes(-1) || name.length !== command.name.length) return [];
    const matches = places.map((from, index) => [from, from + sought[index].length]).sort((a, b) => a[0] - b[0]);
    const isApart = matches.every(([from], index) => index === 0 || from >= matches[index - 1][1]);
    return [{ ...command, matches: isApart ? matches : [] }];
  });
}
