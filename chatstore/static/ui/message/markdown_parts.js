// What markdown-it imports of other packages, by the import map: links and entities.
// Its own build brings tables of 16 kB, which the first visit would wait for.

/** `uc.micro`: punctuation and symbols. */
export const P = /\p{P}/u;
export const S = /\p{S}/u;

/** `mdurl` and `punycode.js`: links are made by `URL`, see markdown.js, so they have nothing to do. */
export default {};

// The names of U+00A0 to U+00FF in their order, then further names with their code. They
// are those of HTML 4, and those of ASCII characters that Markdown has a use for. Other
// names stay in the text as they are stored.
const LATIN =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 " +
  "sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc " +
  "Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve " +
  "Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute " +
  "acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde " +
  "ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";
const OTHERS =
  "Tab:9 NewLine:a excl:21 quot:22 num:23 dollar:24 percnt:25 amp:26 apos:27 lpar:28 rpar:29 ast:2a " +
  "plus:2b comma:2c period:2e sol:2f colon:3a semi:3b lt:3c equals:3d gt:3e quest:3f commat:40 " +
  "lbrack:5b bsol:5c rbrack:5d lowbar:5f grave:60 lbrace:7b vert:7c rbrace:7d OElig:152 oelig:153 " +
  "Scaron:160 scaron:161 Yuml:178 fnof:192 circ:2c6 tilde:2dc Alpha:391 Beta:392 Gamma:393 Delta:394 " +
  "Epsilon:395 Zeta:396 Eta:397 Theta:398 Iota:399 Kappa:39a Lambda:39b Mu:39c Nu:39d Xi:39e " +
  "Omicron:39f Pi:3a0 Rho:3a1 Sigma:3a3 Tau:3a4 Upsilon:3a5 Phi:3a6 Chi:3a7 Psi:3a8 Omega:3a9 alpha:3b1 " +
  "beta:3b2 gamma:3b3 delta:3b4 epsilon:3b5 zeta:3b6 eta:3b7 theta:3b8 iota:3b9 kappa:3ba lambda:3bb " +
  "mu:3bc nu:3bd xi:3be omicron:3bf pi:3c0 rho:3c1 sigmaf:3c2 sigma:3c3 tau:3c4 upsilon:3c5 phi:3c6 " +
  "chi:3c7 psi:3c8 omega:3c9 thetasym:3d1 upsih:3d2 piv:3d6 ensp:2002 emsp:2003 thinsp:2009 zwnj:200c " +
  "zwj:200d lrm:200e rlm:200f ndash:2013 mdash:2014 lsquo:2018 rsquo:2019 sbquo:201a ldquo:201c " +
  "rdquo:201d bdquo:201e dagger:2020 Dagger:2021 bull:2022 hellip:2026 permil:2030 prime:2032 " +
  "Prime:2033 lsaquo:2039 rsaquo:203a oline:203e frasl:2044 euro:20ac image:2111 weierp:2118 real:211c " +
  "trade:2122 alefsym:2135 larr:2190 uarr:2191 rarr:2192 darr:2193 harr:2194 crarr:21b5 lArr:21d0 " +
  "uArr:21d1 rArr:21d2 dArr:21d3 hArr:21d4 forall:2200 part:2202 exist:2203 empty:2205 nabla:2207 " +
  "isin:2208 notin:2209 ni:220b prod:220f sum:2211 minus:2212 lowast:2217 radic:221a prop:221d " +
  "infin:221e ang:2220 and:2227 or:2228 cap:2229 cup:222a int:222b there4:2234 sim:223c cong:2245 " +
  "asymp:2248 ne:2260 equiv:2261 le:2264 ge:2265 sub:2282 sup:2283 nsub:2284 sube:2286 supe:2287 " +
  "oplus:2295 otimes:2297 perp:22a5 sdot:22c5 lceil:2308 rceil:2309 lfloor:230a rfloor:230b lang:27e8 " +
  "rang:27e9 loz:25ca starf:2605 star:2606 phone:260e spades:2660 clubs:2663 hearts:2665 diams:2666 " +
  "check:2713 cross:2717";
/** @type {Map<string, string>} */
const ENTITIES = new Map([
  ...LATIN.split(" ").map((name, index) => /** @type {[string, string]} */ ([name, String.fromCodePoint(0xa0 + index)])),
  ...OTHERS.split(" ").map((each) => {
    const [name, code] = each.split(":");
    return /** @type {[string, string]} */ ([name, String.fromCodePoint(parseInt(code, 16))]);
  }),
]);

/** `entities`: the character of `&name;`, or the text as it is. @param {string} text */
export const decodeHTMLStrict = (text) => ENTITIES.get(text.slice(1, -1)) ?? text;

// A longer one is no address that somebody wants to open. The bound keeps hostile text cheap.
const MAX_ADDRESS = 2_000;
// What an address consists of: ASCII but what quotes it, and other letters and symbols.
const ADDRESS = /(?:https?:\/\/|mailto:)(?:[!#-;=?-[\]_a-z{}~]|(?![\p{P}\p{Z}\p{C}])[^\0-\x7f])+/iuy;
const START = /(?<![\p{L}\p{N}_])(?:https?:\/\/|mailto:)/giu;
const PAIRS = new Map([[")", "("], ["]", "["], ["}", "{"]]);

/** @typedef {{ schema: string, index: number, lastIndex: number, text: string, url: string }} Found */

/** `linkify-it`: addresses with http://, https:// or mailto: in a text. */
export class LinkifyIt {
  /** @param {string} text */
  test(text) {
    return text.search(START) >= 0;
  }

  /** @param {string} text @returns {Found[]} */
  match(text) {
    /** @type {Found[]} */
    const found = [];
    for (const { index } of text.matchAll(START)) {
      const address = index >= (found.at(-1)?.lastIndex ?? 0) && addressAt(text, index);
      if (address) found.push(address);
    }
    return found;
  }

  /** @param {string} text @returns {Found | null} */
  matchAtStart(text) {
    return addressAt(text, 0);
  }
}

/** @param {string} text @param {number} index @returns {Found | null} */
function addressAt(text, index) {
  ADDRESS.lastIndex = index;
  const matched = ADDRESS.exec(text.length > index + 2 * MAX_ADDRESS ? text.slice(0, index + 2 * MAX_ADDRESS) : text)?.[0];
  const url = matched && matched.length <= MAX_ADDRESS ? withoutEnd(matched) : "";
  const schema = /^(https?:|mailto:)(?:\/\/)?[^/]/i.exec(url)?.[1].toLowerCase();
  return schema ? { schema, index, lastIndex: index + url.length, text: url, url } : null;
}

/** An address without what ends the sentence around it: `(see https://a.example/b_(c)).`
 * @param {string} address */
function withoutEnd(address) {
  const count = (/** @type {string} */ char) => address.split(char).length - 1;
  const unopened = new Map([...PAIRS].map(([end, start]) => [end, count(end) - count(start)]));
  let length = address.length;
  for (; length > 0; length--) {
    const last = address[length - 1];
    const excess = unopened.get(last);
    if (excess === undefined ? !"?!.,:;*_~'".includes(last) : excess <= 0) break;
    if (excess) unopened.set(last, excess - 1);
  }
  return address.slice(0, length);
}
