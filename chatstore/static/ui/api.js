// The only module that sends requests. It knows HTTP and problem details, and no views.
import { signal } from "@preact/signals";

const BASE = "/api/v1";
// A server that does not answer in this time counts as away.
const TIMEOUT_MS = 30_000;

/** An error answer of the server, as RFC 9457 describes it. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} body
   * @param {Headers} headers
   */
  constructor(status, body, headers) {
    super(body.detail || body.title || `HTTP ${status}`);
    this.status = status;
    this.type = String(body.type ?? "");
    this.body = body;
    this.requestId = String(body.request_id ?? headers.get("X-Request-Id") ?? "");
    this.retryAfterSeconds = Number(headers.get("Retry-After")) || 0;
  }
}

/** No answer came: the server or the network is away, or the answer was cut off. */
export class NoAnswer extends Error {}

/** Since when no request was answered, or null. */
export const awaySince = signal(/** @type {Date | null} */ (null));
/** Whether a request was refused because the login has ended. */
export const isLoggedOut = signal(false);

/**
 * @typedef {object} Options
 * @property {any} [body] sent as JSON
 * @property {Record<string, any>} [query] members that are null or undefined are left out
 * @property {string} [key] Idempotency-Key
 * @property {string} [ifMatch]
 * @property {string} [ifNoneMatch]
 * @property {AbortSignal} [signal]
 * @property {number} [timeoutMs]
 */

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {any} data null without a body
 * @property {string} text the body as it came, in which 1.0 stays 1.0
 * @property {Headers} headers
 */

/**
 * Send one request. Throws Problem for an error answer and NoAnswer without an answer.
 * An aborted request throws the signal's own AbortError.
 * @param {string} method
 * @param {string} path after /api/v1
 * @param {Options} [options]
 * @returns {Promise<Answer>}
 */
export async function send(method, path, options = {}) {
  const response = await reach(method, path, options);
  isLoggedOut.value = response.status === 401;
  const text = await response.text().catch((error) => fail(error, options.signal));
  if (!response.ok && response.status !== 304) {
    throw new Problem(response.status, parse(text) ?? {}, response.headers);
  }
  const data = text ? parse(text) : null;
  if (data === undefined) throw new NoAnswer("the answer is incomplete");
  return { status: response.status, data, text, headers: response.headers };
}

/** @param {string} path @param {Record<string, any>} [query] @param {Options} [options] */
export const get = async (path, query, options) =>
  (await send("GET", path, { ...options, query })).data;
/** @param {string} path @param {any} body @param {Options} [options] */
export const post = async (path, body, options) =>
  (await send("POST", path, { ...options, body })).data;
/** @param {string} path @param {any} body @param {Options} [options] */
export const patch = async (path, body, options) =>
  (await send("PATCH", path, { ...options, body })).data;
/** @param {string} path @param {Options} [options] */
export const del = async (path, options) => (await send("DELETE", path, options)).data;

/** A random key or id: crypto.randomUUID does not exist on plain http. */
export function uuid4() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((each) => each.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** @param {Record<string, any>} [query] */
function queryText(query = {}) {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value == null ? [] : [value].flat().map((each) => [name, String(each)]),
  );
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** @param {string} method @param {string} path @param {Options} options */
async function reach(method, path, options) {
  const headers = new Headers();
  if (options.body !== undefined) headers.set("Content-Type", "application/json");
  if (options.key) headers.set("Idempotency-Key", options.key);
  if (options.ifMatch) headers.set("If-Match", options.ifMatch);
  if (options.ifNoneMatch) headers.set("If-None-Match", options.ifNoneMatch);
  const late = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  try {
    const response = await fetch(BASE + path + queryText(options.query), {
      method,
      headers,
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
      signal: options.signal ? AbortSignal.any([options.signal, late]) : late,
      credentials: "same-origin",
    });
    awaySince.value = null;
    return response;
  } catch (error) {
    return fail(error, options.signal);
  }
}

/** @param {any} error @param {AbortSignal} [signal] @returns {never} */
function fail(error, signal) {
  if (signal?.aborted) throw error;
  awaySince.value ??= new Date();
  throw new NoAnswer(String(error));
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
