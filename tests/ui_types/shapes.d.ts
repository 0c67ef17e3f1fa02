// The shapes of the API, as `make ui-api` makes them of /openapi.json: `Api["Message"]`.
type Api = import("./api").components["schemas"];
