// Dates and numbers in the reader's language and time zone, all by Intl.

const LANGUAGE = navigator.language;
const TIME = dateFormat({ hour: "2-digit", minute: "2-digit" });
const WEEKDAY = dateFormat({ weekday: "short" });
const DAY = dateFormat({ day: "numeric", month: "short" });
const DAY_AND_YEAR = dateFormat({ dateStyle: "medium" });
const LONG_DAY = dateFormat({ weekday: "long", day: "numeric", month: "long" });
const MONTH = dateFormat({ month: "long", year: "numeric" });
const EXACT = dateFormat({ dateStyle: "full", timeStyle: "long" });
const NUMBER = new Intl.NumberFormat(LANGUAGE);

/** A format that is made when it is first used: to make all of them took a tenth of the
 * first load. @param {Intl.DateTimeFormatOptions} options */
function dateFormat(options) {
  /** @type {Intl.DateTimeFormat | undefined} */
  let made;
  return { format: (/** @type {Date} */ date) => (made ??= new Intl.DateTimeFormat(LANGUAGE, options)).format(date) };
}

/** @param {number} number */
export const formatNumber = (number) => NUMBER.format(number);
/** @param {string | Date} instant */
export const formatTime = (instant) => TIME.format(new Date(instant));
/** The exact instant, for titles. @param {string | Date} instant */
export const formatExact = (instant) => EXACT.format(new Date(instant));

/**
 * How many midnights of the reader lie between `instant` and `now`. Days of a change of
 * the clocks have 23 or 25 hours, so calendar dates are compared, not hours.
 * @param {string | Date} instant @param {Date} [now]
 */
export function daysAgo(instant, now = new Date()) {
  const then = new Date(instant);
  const day = (/** @type {Date} */ date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((day(now) - day(then)) / 86_400_000);
}

/** The short form in the list: time, weekday or day. @param {string} instant @param {Date} [now] */
export function formatShort(instant, now = new Date()) {
  const date = new Date(instant);
  const days = daysAgo(date, now);
  if (days < 2) return TIME.format(date);
  if (days < 7) return WEEKDAY.format(date);
  return date.getFullYear() === now.getFullYear() ? DAY.format(date) : DAY_AND_YEAR.format(date);
}

/** Day and time, for facts and for rules between days. @param {string} instant */
export const formatDayTime = (instant) => `${DAY.format(new Date(instant))}, ${formatTime(instant)}`;
/** @param {string} instant */
export const formatLongDay = (instant) => LONG_DAY.format(new Date(instant));
/** @param {string} instant */
export const formatMonth = (instant) => MONTH.format(new Date(instant));
/** A day such as 2026-11-30, which is the reader's and has no time zone. @param {string} day */
export const formatDay = (day) => DAY_AND_YEAR.format(new Date(`${day}T12:00`));

/** A day or month of the usage, "2026-11-22" or "2026-11". @param {string} label */
export function formatPeriod(label) {
  const [year, month, day] = label.split("-").map(Number);
  const date = new Date(year, month - 1, day || 1);
  return day ? dayMaybeYear(date) : MONTH.format(date);
}

/** The day, with its year if it is not this one. @param {Date} date */
const dayMaybeYear = (date) =>
  (date.getFullYear() === new Date().getFullYear() ? DAY : DAY_AND_YEAR).format(date);
