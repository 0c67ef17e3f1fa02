// Says that nothing is at an address.
import { html } from "../html.js";
import { openPalette } from "../search/palette_keys.js";
import { words } from "../words.js";

export const MissingView = () => html`<div class="page void"><h1>${words.missingPage.missing}</h1>
  <p>${words.missingPage.missingMeaning}</p>
  <p class="inline-row"><a class="primary" href="/">${words.missingPage.allSessions}</a>
    <button class="quiet bordered" onClick=${openPalette}>${words.palette.search}</button></p>
</div>`;
