// The vendored libraries whose types are not needed: what they return is checked by tests.
declare module "highlight.js";
declare module "highlight.js/*";
declare module "markdown-it";
declare module "uplot";
