// How the help and the palette write the keys of the table.

/** How a key of the table is written on the keyboard. @param {string} key */
export const keyLabel = (key) =>
  key.split("+").map((each) => (each.length === 1 || each === "" ? (each || "+").toUpperCase() : each[0].toUpperCase() + each.slice(1)))
    .join(" ").replace("Enter", "↵").replace("ArrowUp", "↑").replace("ArrowDown", "↓");
