// Elements by htm, components by h(Component, props): `tsc` checks the latter only.
import { h } from "preact";
import htm from "htm";

export { h };
export const html = htm.bind(h);

/** Join the class names that are set. @param {...(string|false|null|undefined)} names */
export const classes = (...names) => names.filter(Boolean).join(" ");
