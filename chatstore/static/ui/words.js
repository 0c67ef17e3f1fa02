// All words of the UI. Each area has its part; a value is a text or makes one.
import { NoAnswer } from "./api.js";
import { formatNumber } from "./dates.js";

/** @param {number} number @param {string} one @param {string} many */
const count = (number, one, many) => `${formatNumber(number)} ${number === 1 ? one : many}`;

export const words = {
  // ---- Everywhere ----
  appName: "chatstore",
  untitled: "Untitled",
  undo: "Undo",
  close: "Close",
  cancel: "Cancel",
  copied: "Copied",
  copyFailed: "The browser does not let this page copy. Select the text and copy it yourself.",
  skipToText: "Skip to the conversation",
  /** @param {any} error */
  failed: (error) => (error instanceof NoAnswer ? "No connection. Nothing was changed." : String(error.message ?? error)),
  /** @param {number} number */
  messages: (number) => count(number, "message", "messages"),
  /** @param {number} number */
  sessions: (number) => count(number, "session", "sessions"),

  // ---- Foot and connection ----
  upToDate: "Up to date",
  /** @param {string} time */
  offlineSince: (time) => `Offline since ${time}`,
  noConnection: "No connection",
  /** @param {string} time */
  loadedAt: (time) => `What you see was loaded at ${time}. What you write is kept here and sent once the server answers.`,
  tryNow: "Try now",
  loggedOut: "Your login has ended. What you write is kept on this device.",
  logIn: "Log in",
  newFiles: "This page is older than the server. Your draft is kept.",
  reload: "Reload",

  // ---- List ----
  list: "Sessions",
  newSession: "New",
  newSessionHint: "New session (c)",
  searchEverything: "Search everything",
  usageLink: "Usage",
  settingsLink: "Settings",
  keysHint: "Keys (?)",
  all: "All",
  archivedScope: "Archived",
  trashScope: "Trash",
  trashHeading: "Deleted, the last one first",
  pinned: "Pinned",
  today: "Today",
  yesterday: "Yesterday",
  lastSevenDays: "Last 7 days",
  loading: "Loading…",
  unread: "new messages",
  retry: "Try again",
  noMatch: "No session matches.",
  noArchived: "The archive is empty.",
  noTrash: "The trash is empty.",
  clearFilters: "Clear filters",
  filter: "Filter",
  filterTag: "Tag",
  filterModel: "Model",
  filterFrom: "From",
  filterTo: "To",
  /** @param {string} day */
  fromDay: (day) => `from ${day}`,
  /** @param {string} day */
  toDay: (day) => `to ${day}`,
  /** @param {string} what */
  removeFilter: (what) => `Remove the filter ${what}`,
  noTags: "No session has a tag.",
  rename: "Rename",
  newName: "Name of the session",
  pin: "Pin",
  unpin: "Unpin",
  archive: "Archive",
  unarchive: "Unarchive",
  tagDots: "Tag…",
  select: "Select",
  delete: "Delete",
  restore: "Restore",
  purge: "Delete for good",
  save: "Save",
  tags: "Tags",
  addTag: "Add a tag",
  newTag: "New tag",
  /** @param {string} tag */
  removeTag: (tag) => `Remove the tag ${tag}`,
  /** @param {string} name */
  moreFor: (name) => `More for ${name}`,
  selection: "Selection",
  endSelection: "Leave selection (Esc)",
  /** @param {number} number */
  selectedCount: (number) => `${formatNumber(number)} selected`,
  /** @param {number} number */
  allThatMatch: (number) => `All ${formatNumber(number)} that match`,
  /** @param {string} name */
  renamed: (name) => `Renamed to “${name}”`,
  /** @param {string} theirs @param {string} ours */
  renamedElsewhere: (theirs, ours) => `Renamed elsewhere to “${theirs}”. Not stored: “${ours}”.`,
  /** @param {number} number */
  pinnedNow: (number) => `Pinned ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  unpinned: (number) => `Unpinned ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  archivedNow: (number) => `Archived ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  unarchived: (number) => `Unarchived ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  tagged: (number) => `Changed the tags of ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  deleted: (number) => `Deleted ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  restored: (number) => `Restored ${count(number, "session", "sessions")}`,
  /** @param {number} number */
  purged: (number) => `Deleted ${count(number, "session", "sessions")} for good`,
  /** @param {number} number */
  askDelete: (number) => `Delete ${count(number, "session", "sessions")}?`,
  /** @param {number} number */
  askPurge: (number) => `Delete ${count(number, "session", "sessions")} for good?`,
  deleteMeans: "They go into the trash, from where you can restore them.",
  purgeMeans: "Nobody can restore them.",
  nothingHere: "Nothing here yet",
  nothingBegin: "Sessions appear as soon as a program, or you, writes the first message. Begin one with ",
  nothingSend: ", or send one from a terminal:",
  nothingDemo: "Or look around with ",
  nothingDemoMeans: ": believable conversations that one command removes again.",
  choose: "Choose a session",
  chooseHow: "Go through the list with ",
  chooseOpen: ", open with ",
  chooseFind: ", search everything with ",
  trashTitle: "Trash",
  trashMeans: "Deleted sessions stay here for a while, then the server deletes them for good.",
  archiveTitle: "Archive",
  archiveMeans: "Archived sessions are out of the way. Search finds them.",
  keyNew: "New session",
  keyNext: "Next session of the list",
  keyPrevious: "Previous session of the list",
  keySelect: "Select a session",
  keyExtend: "Select on to the next session",
  keyArchive: "Archive",
  keyPin: "Pin",
  keyTag: "Tag",
  keyRename: "Rename",
  keyDelete: "Delete",

  // ---- Session, messages ----
  /** @param {string} role @param {number} seq */
  messageLabel: (role, seq) => `${role}, message ${seq}`,
  /** @param {number} seq */
  linkTo: (seq) => `Link to message ${seq}`,
  copy: "Copy",
  copyText: "Copy text",
  copyLink: "Copy link",
  linkCopied: "Link copied",
  more: "More",
  acts: "What to do with this message",
  edited: "edited",
  /** @param {string} instant */
  messageDeleted: (instant) => `Deleted on ${instant}. Its place is kept.`,
  emptyMessage: "No text",
  refusal: "Refused",
  /** @param {number} rating */
  rated: (rating) => (rating > 0 ? "Rated as good" : "Rated as bad"),
  plainCode: "text",
  /** @param {string} name */
  codeIn: (name) => `Code, ${name}`,
  wrap: "Wrap",
  table: "Table",
  /** @param {number} lines */
  showLines: (lines) => `Show all ${formatNumber(lines)} lines`,
  /** @param {number} characters */
  showAll: (characters) => `Show all ${formatNumber(characters)} characters`,
  /** @param {number} pieces */
  showPieces: (pieces) => `Show all ${formatNumber(pieces)}`,
  showLess: "Show less",
  open: "Open",
  /** @param {string} name */
  pictureFrom: (name) => (name ? `Picture “${name}” from` : "Picture from"),
  notLoaded: ", not loaded",
  /** @param {string} name @param {string} kind */
  pictureInside: (name, kind) => `Picture${name ? ` “${name}”` : ""}${kind ? `, ${kind}` : ""}, not shown`,
  /** @param {string} name */
  toolCall: (name) => `Calls ${name}`,
  /** @param {string} kind */
  part: (kind) => `Part: ${kind}`,
  versions: "Versions of this message",
  /** @param {number} number @param {number} all */
  version: (number, all) => `Version ${number} of ${all}`,
  previousVersion: "Previous version",
  nextVersion: "Next version",
  editVersion: "Edit as another version",
  retryVersion: "Write another answer",
  addVersion: "Add version",
  versionText: "Text of the other version",
  forkHere: "Fork from here",
  forked: "Forked into a new session",
  details: "Details",
  /** @param {number} seq */
  detailsOf: (seq) => `Details of message ${seq}`,
  revisions: "Earlier texts",
  /** @param {number} seq */
  revisionsOf: (seq) => `Earlier texts of message ${seq}`,
  /** @param {number} revision @param {string} instant */
  revision: (revision, instant) => `Revision ${revision}, written ${instant}`,
  older: "Older",
  good: "Good",
  bad: "Bad",
  deleteMessage: "Delete text…",
  /** @param {number} seq */
  deleteQuestion: (seq) => `Delete what message ${seq} says?`,
  deleteMeaning: "The text is gone for good. The message keeps its place and its number.",
  deleteNow: "Delete",
  deletedNow: "Deleted",
  facts: { sent: "Stored", written: "Written", edited: "Edited", role: "Role", name: "Name", model: "Model", input: "Tokens in", output: "Tokens out", cached: "of these cached", reasoning: "of these reasoning", reason: "Ended by", answers: "Answers call", follows: "Follows message", revision: "Revision", comment: "Comment", labels: "Labels" },
  metadata: "Metadata",
  raw: "As stored (JSON)",

  // ---- Transcript ----
  transcript: {
    conversation: "Conversation",
    loading: "Loading",
    noSession: "There is no such session",
    noSessionText: "It was deleted, or it is somebody else's.",
    deleted: "Deleted elsewhere.",
    deletedText: "You can still read and copy what is shown here.",
    toEnd: "To the end",
    /** @param {string} time */
    newSince: (time) => `New since ${time}`,
    /** @param {string} role @param {number} number */
    isNew: (role, number) => (number === 1 ? `New message from ${role}` : `${formatNumber(number)} new messages`),
    /** @param {number} seq */
    noMessage: (seq) => `This conversation has no message ${seq}.`,
    otherVersion: "You are reading another version of this conversation.",
    useVersion: "Continue with this version",
    ownVersion: "Back to the shown version",
    back: "Back to the list",
    name: "Name of the session",
    rename: "Rename",
    find: "Find in this session",
    pin: "Pin",
    unpin: "Unpin",
    archive: "Archive",
    unarchive: "Take out of the archive",
    more: "More",
    delete: "Delete",
    details: "Details",
    changeTags: "Tags…",
    copyLink: "Copy link",
    copyMarkdown: "Copy as Markdown",
    copiedMarkdown: "Copied the session as Markdown",
    downloadJson: "Download JSON",
    print: "Print",
    takeAlong: "Take it along",
    questions: "Questions in this session",
    earlier: "Earlier questions",
    session: "Session",
    tags: "Tags",
    addTag: "+ Tag",
    facts: {
      model: "Model",
      messages: "Messages",
      created: "Created",
      lastMessage: "Last message",
      documents: "Documents",
      tokens: "Tokens",
      expires: "Expires",
      externalId: "External id",
      forkedFrom: "Forked from",
      none: "none",
      /** @param {number} seq */
      messageOf: (seq) => `message ${seq}`,
      /** @param {number} input @param {number} output */
      tokensOf: (input, output) => `${formatNumber(input)} in, ${formatNumber(output)} out`,
    },
    previousFound: "Previous",
    nextFound: "Next",
    /** @param {number} at @param {number} total @param {boolean} isExact */
    foundAt: (at, total, isExact) => (total ? `${formatNumber(at)} of ${isExact ? "" : "at least "}${formatNumber(total)}` : "Not found"),
    keys: {
      nextMessage: "Next message or row",
      previousMessage: "Previous message or row",
      nextQuestion: "Next question",
      previousQuestion: "Previous question",
      first: "To the beginning",
      end: "To the end",
      details: "Show or hide details",
      region: "Next region",
    },
  },

  // ---- Composer, outbox ----
  addMessage: "Add a message",
  add: "Add",
  as: "as",
  roleOf: "Role of the message",
  draftKept: "Draft kept",
  draftNotKept: "This browser does not keep the draft: add it before you close the page.",
  newLine: "new line",
  addsIt: "adds it",
  waiting: "Waiting for a connection · kept on this device",
  sending: "Sending · kept on this device",
  notKept: "Waiting for a connection. This browser cannot keep it: do not close the page.",
  /** @param {string} reason */
  notStored: (reason) => `Not stored: ${reason}`,
  edit: "Edit",
  discard: "Discard",
  /** @param {string} id */
  requestId: (id) => `request ${id.slice(0, 8)}`,
  roles: /** @type {Record<string, string>} */ ({
    user: "user",
    assistant: "assistant",
    system: "system",
    developer: "developer",
    tool: "tool",
  }),

  // ---- Search, commands, find ----
  palette: {
    search: "Search",
    searchEverything: "Search sessions, messages and commands",
    searchHint: "Search everything",
    filterHint: "Filters are words too: role:user, tag:\"home server\", model:gpt-4o, after:2026-01, before:2026-02-14.",
    where: "Where to search",
    scopes: { everywhere: "Everywhere", session: "This session", names: "Names" },
    order: "Order",
    orders: { relevance: "Best first", newest: "Newest first" },
    nameOrders: { relevance: "By name", newest: "Newest first" },
    results: "Results",
    commands: "Commands",
    choose: "choose",
    openAtMessage: "open at the message",
    newTab: "new tab",
    allResults: "All results",
    more: "Show more",
    nothingFound: "Nothing found. Fewer words or fewer filters find more.",
    /** @param {number} number @param {boolean} isExact */
    hits: (number, isExact) => (isExact ? count(number, "hit", "hits") : `at least ${count(number, "hit", "hits")}`),
    /** @param {number} number @param {boolean} isExact */
    rest: (number, isExact) => `All ${isExact ? "" : "of at least "}${count(number, "hit", "hits")} in this session`,
    /** @param {number} number @param {boolean} isExact @param {number} milliseconds */
    hitsIn: (number, isExact, milliseconds) =>
      `${isExact ? "" : "at least "}${count(number, "hit", "hits")} in ${formatNumber(milliseconds)} ms`,
    /** @type {Record<string, string>} */
    places: {
      "/": "All sessions", "/archived": "Archived sessions", "/trash": "Trash", "/search": "Search page",
      "/usage": "Usage", "/settings": "Settings",
    },
    /** @type {Record<string, string>} */
    themeCommands: { light: "Light theme", dark: "Dark theme", system: "Theme of the system" },
  },

  // ---- Usage, settings, shared, other pages ----
  usagePage: {
    usage: "Usage",
    shown: "Shown in the chart",
    ranges: { week: "7 days", month: "30 days", quarter: "90 days", year: "12 months" },
    measures: { messages: "Messages", tokens: "Tokens", sessions: "Sessions" },
    inputTokens: "Input tokens",
    outputTokens: "Output tokens",
    newSessions: "New sessions",
    otherModels: "Other models",
    byModel: "By model",
    byPeriod: "By day or month",
    model: "Model",
    period: "Period",
    stillCounting: "The server is still counting. The newest messages are missing here.",
    downloadCsv: "Download CSV",
  },
  settingsPage: {
    settings: "Settings",
    theme: "Theme",
    themes: { system: "As the system", light: "Light", dark: "Dark" },
    readingWidth: "Reading width",
    widths: { normal: "Narrow, about 72 characters", wide: "Wide" },
    enterKey: "Enter in the composer",
    enterMeanings: { adds: "adds the message; Shift Enter breaks the line", breaks: "breaks the line; Ctrl Enter adds the message" },
    singleKeys: "Keys",
    singleKeysOn: "Single letters are keys",
    singleKeysHint: "Switch this off if you speak to the computer, or press letters by accident. Keys with Ctrl still work.",
    plainHttp: "This page came by plain http.",
    plainHttpMeaning: "Everybody on the way can read and change what you send and see, your key too. Ask for an address that begins with https.",
    login: "Login",
    loggedInAs: "You use the sessions of",
    logOut: "Log out",
    logOutHint: "Logging out also removes drafts and settings from this browser.",
    endLogins: "End all logins",
    endLoginsQuestion: "End your logins in all browsers, this one too?",
    noLogins: "This server has no logins to end.",
    apiKeys: "Your API keys",
    keyName: "What the key is for",
    keyScope: "What it may do",
    issueKey: "New key",
    keyShownOnce: "Copy this key now. It is shown only once.",
    copyKey: "Copy the key",
    unnamedKey: "Without a name",
    revoke: "Revoke",
    /** @param {string} name */
    revokeKey: (name) => `Revoke ${name}`,
    /** @param {string} name */
    revokeQuestion: (name) => `Revoke the key “${name}”? Programs that use it stop working within a second.`,
    /** @param {{ created: string, used: string | null, expires: string | null, revoked: string | null }} facts */
    keyFacts: ({ created, used, expires, revoked }) => [
      `created ${created}`, used ? `last used ${used}` : "never used",
      revoked ? `revoked ${revoked}` : expires && `ends ${expires}`,
    ].filter(Boolean).join(" · "),
    apiDocs: "API documentation",
  },
  sharedPage: {
    loading: "Loading",
    more: "Show more messages",
    sharedLive: "Somebody shared this session. Later messages appear here too.",
    sharedStill: "Somebody shared this session as it was.",
    /** @param {string} when */
    sharedUntil: (when) => `The link ends on ${when}.`,
    sharedEmpty: "This session has no messages.",
    linkEnded: "This link does not work",
    linkEndedMeaning: "It has ended or was withdrawn, or its address is incomplete. Ask whoever gave it to you.",
    /** @param {number} seconds */
    tooManyReads: (seconds) => `Too many reads from your network. Try again in ${count(seconds || 60, "second", "seconds")}.`,
  },
  missingPage: {
    missing: "Nothing is here",
    missingMeaning: "No page has this address. Perhaps it was copied in part.",
    allSessions: "All sessions",
  },

  // ---- Keys ----
  help: {
    keysHead: "Keys",
    keySearch: "Search",
    keyHelp: "These keys",
    keysHint: "Letters can be switched off:",
  },
};

/** What a bulk act says when it is done. */
export const bulkDone = {
  archive: words.archivedNow,
  unarchive: words.unarchived,
  pin: words.pinnedNow,
  unpin: words.unpinned,
  add_tags: words.tagged,
  remove_tags: words.tagged,
  delete: words.deleted,
  restore: words.restored,
  purge: words.purged,
};
