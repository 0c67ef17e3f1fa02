"""The OpenAPI document is complete and matches the service."""

import re

import pytest

from chatstore.app import create_app
from chatstore.fulltext.folding import fold
from tests.support import (
    SESSIONS,
    assert_problem,
    make_settings,
    messages_url,
    session_url,
)

METHODS = {"get", "post", "put", "patch", "delete"}
PROBLEM = "application/problem+json"
NUMBERS = {"last_seq": 1, "head_seq": 1, "limit": 1, "used": 1}


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """An application whose tested requests need no database."""
    folder = tmp_path_factory.mktemp("offline")
    return create_app(make_settings(f"sqlite:///{folder}/unused.db"))


@pytest.fixture(scope="module")
def document(offline):
    return offline.test_client().get("/openapi.json").json


def operations(document):
    """Yield each operation as `METHOD /path`, with the parameters of its path."""
    for path, item in document["paths"].items():
        for method in METHODS & set(item):
            parameters = [
                *item.get("parameters", ()),
                *item[method].get("parameters", ()),
            ]
            operation = item[method] | {"parameters": parameters}
            yield f"{method.upper()} {path}", operation


def nodes(value):
    """Yield every object within `value`, itself included."""
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


def resolve(document, value):
    while "$ref" in value:
        place = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        value = place
    return value


def response_schemas(document):
    for _, operation in operations(document):
        for response in operation["responses"].values():
            for media in resolve(document, response).get("content", {}).values():
                yield from nested_schemas(document, media["schema"])


def nested_schemas(document, schema):
    schema = resolve(document, schema)
    yield schema
    for each in schema.get("properties", {}).values():
        yield from nested_schemas(document, each)
    if "items" in schema:
        yield from nested_schemas(document, schema["items"])


def example_of(document, schema):
    """Return an object made of the examples of its properties."""
    schema = resolve(document, schema)
    return {
        name: resolve(document, part)["example"]
        for name, part in schema["properties"].items()
        if "example" in resolve(document, part)
    }


def test_the_document_is_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "chatstore"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", document["info"]["version"])
    assert document["info"]["license"]["name"] == "MIT"
    allowed = {"openapi", "info", "servers", "paths", "components", "tags", "security"}
    assert set(document) <= allowed


def path_of(rule):
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule).rstrip("/")


def test_the_paths_are_those_of_the_application(document, offline):
    monitors = {"/healthz", "/readyz", "/metrics"}
    rules = {
        f"{method} {path_of(rule)}"
        for rule in offline.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/api/v1/") or rule.rule in monitors
    }
    documented = [route.rstrip("/") for route, _ in operations(document)]
    assert sorted(documented) == sorted(rules)


def test_every_reference_leads_somewhere(document):
    references = [each["$ref"] for each in nodes(document) if "$ref" in each]
    assert references
    for reference in references:
        assert resolve(document, {"$ref": reference}), reference


def test_the_document_says_which_operations_need_a_key(tmp_path, document):
    settings = make_settings(f"sqlite:///{tmp_path}/unused.db", auth="api-key")
    keyed = create_app(settings).test_client().get("/openapi.json").json
    scheme = keyed["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    public = {"GET /healthz", "GET /readyz", "GET /metrics"}
    for route, operation in operations(keyed):
        is_open = route in public or route.startswith("GET /api/v1/shared/")
        assert operation.get("security") == (None if is_open else [{"bearer": []}])
        assert ({"401", "403"} <= operation["responses"].keys()) is not is_open, route
    # Without logins nobody has a key to send.
    assert "securitySchemes" not in document["components"]
    assert not any("security" in each for _, each in operations(document))


def test_every_component_is_used(document):
    references = {each["$ref"] for each in nodes(document) if "$ref" in each}
    components = {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
    }
    assert components - references == set()


def test_every_operation_says_what_it_does(document):
    known = {tag["name"] for tag in document["tags"]}
    summaries = []
    for route, operation in operations(document):
        assert operation["summary"].endswith("."), route
        assert operation["tags"] and set(operation["tags"]) <= known, route
        summaries.append(operation["summary"])
    assert len(set(summaries)) == len(summaries)


def test_every_operation_has_the_name_of_its_view(document, offline):
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    views = {endpoint.rpartition(".")[2] for endpoint in offline.view_functions}
    assert set(ids) <= views
    assert {"append_message", "list_sessions", "search_all"} <= set(ids)


@pytest.mark.parametrize(
    ("operation_id", "forms"),
    [
        ("list_messages", ["MessageList", "RequestMessageList", "ChosenMessageList"]),
        ("search_all", ["HitPage", "GroupPage"]),
    ],
)
def test_a_list_has_one_of_its_forms(document, operation_id, forms):
    (schema,) = [
        operation["responses"]["200"]["content"]["application/json"]["schema"]
        for _, operation in operations(document)
        if operation["operationId"] == operation_id
    ]
    names = [each["$ref"].rpartition("/")[2] for each in schema["anyOf"]]
    assert names == forms


def test_every_parameter_is_declared(document):
    for route, operation in operations(document):
        given = [resolve(document, each) for each in operation["parameters"]]
        in_path = {each["name"] for each in given if each["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", route)), route
        for each in given:
            is_query = route.endswith("/search") and each["name"] == "q"
            is_needed = each["in"] == "path" or is_query
            assert each["required"] == is_needed, route
            assert {"type", "enum"} & set(each["schema"]), (route, each["name"])


def test_every_response_is_described(document):
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            response = resolve(document, response)
            assert re.fullmatch("[1-5][0-9]{2}", status), route
            assert response["description"], (route, status)
            has_body = status not in ("204", "304")
            assert ("content" in response) == has_body, (route, status)


def test_every_error_is_a_problem(document):
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            content = resolve(document, response)["content"]
            assert set(content) == {PROBLEM}, (route, status)
            reference = content[PROBLEM]["schema"]["$ref"]
            assert reference == "#/components/schemas/Problem", (route, status)


def test_every_part_of_a_response_has_a_type(document):
    schemas = list(response_schemas(document))
    assert len(schemas) > 20
    for schema in schemas:
        if "anyOf" in schema or "oneOf" in schema:  # schemas that are checked too
            continue
        assert "type" in schema, schema
        if schema["type"] == "object" and "properties" in schema:
            assert set(schema["required"]) <= set(schema["properties"])


def test_errors_are_documented_where_they_occur(document):
    for route, operation in operations(document):
        found = set(operation["responses"])
        given = [resolve(document, each)["name"] for each in operation["parameters"]]
        assert {"422", "500", "503"} <= found, route
        assert ("requestBody" in operation) == ({"413", "415"} <= found), route
        assert ("If-Match" in given) == ("412" in found), route
        assert ("If-None-Match" in given) == ("304" in found), route
        names_session = "{" in route or "session_id" in given
        assert names_session == ("404" in found), route
        if "requestBody" in operation or "cursor" in given:
            assert "400" in found, route


@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("POST /api/v1/sessions", "201"),
        ("GET /api/v1/sessions", "200"),
        ("POST /api/v1/sessions/bulk", "200"),
        ("GET /api/v1/sessions/by-external-id/{external_id}", "200"),
        ("GET /api/v1/tags", "200"),
        ("POST /api/v1/tags/rename", "200"),
        ("POST /api/v1/tags/delete", "200"),
        ("GET /api/v1/models", "200"),
        ("GET /api/v1/sessions/{session_id}", "200"),
        ("PATCH /api/v1/sessions/{session_id}", "200"),
        ("DELETE /api/v1/sessions/{session_id}", "204"),
        ("POST /api/v1/sessions/{session_id}/restore", "200"),
        ("POST /api/v1/sessions/{session_id}/messages", "201"),
        ("GET /api/v1/sessions/{session_id}/messages", "200"),
        ("GET /api/v1/sessions/{session_id}/messages/{message_id}", "200"),
        ("PATCH /api/v1/sessions/{session_id}/messages/{message_id}", "200"),
        ("DELETE /api/v1/sessions/{session_id}/messages/{message_id}", "204"),
        ("GET /api/v1/sessions/{session_id}/messages/{message_id}/revisions", "200"),
        ("PUT /api/v1/sessions/{session_id}/messages/{message_id}/feedback", "200"),
        ("POST /api/v1/sessions/{session_id}/clear", "200"),
        ("POST /api/v1/sessions/{session_id}/shares", "201"),
        ("DELETE /api/v1/sessions/{session_id}/shares/{share_id}", "204"),
        ("GET /api/v1/shared/{token}", "200"),
        ("GET /api/v1/feedback", "200"),
        ("GET /healthz", "200"),
        ("GET /readyz", "200"),
        ("GET /metrics", "200"),
    ],
)
def test_success_is_documented(document, route, status):
    (found,) = [
        operation["responses"]
        for each, operation in operations(document)
        if each.rstrip("/") == route
    ]
    assert {each for each in found if each < "300"} == {status}


def test_a_put_may_create_or_find(document):
    path = "/api/v1/sessions/by-external-id/{external_id}"
    found = document["paths"][path]["put"]["responses"]
    assert {each for each in found if each < "300"} == {"200", "201"}
    assert found["200"]["content"] == found["201"]["content"]


@pytest.mark.parametrize(
    ("text", "is_pair"),
    [("a:b", True), (":", True), ("a:b:c\n", True), ("a", False), ("", False)],
)
def test_a_pattern_tells_a_metadata_pair(document, text, is_pair):
    filters = document["components"]["schemas"]["SessionBodyFilter"]["properties"]
    pattern = re.compile(filters["metadata"]["items"]["pattern"])
    assert (pattern.search(text) is not None) is is_pair


@pytest.mark.parametrize(
    ("place", "is_some"),
    [
        ("SessionCreate/properties/metadata_tags/items", str.strip),
        ("SessionBodyFilter/properties/tag/items", str.strip),
        ("SessionBodyFilter/properties/name", fold),
    ],
)
def test_a_pattern_refuses_the_text_that_is_nothing(document, place, is_some):
    part = resolve(document, {"$ref": f"#/components/schemas/{place}"})
    pattern = re.compile(part["pattern"])
    for character in map(chr, [*range(1, 0xD800), *range(0xE000, 0x110000)]):
        is_valid = pattern.search(character) is not None
        assert is_valid is bool(is_some(character)), ascii(character)
    assert pattern.search("\x1c a\u0301\u3000\n") and not pattern.search("a\0")


@pytest.mark.parametrize("nothing", ["", " ", "\x1c", "\x85\t", "\u3000", "\u2029\x1f"])
def test_a_tag_that_is_nothing_is_refused(alice, make_session, nothing):
    chat = make_session()
    bulk = {"ids": [str(chat.id)], "action": "add_tags", "tags": [nothing]}
    for answer in (
        alice.post(SESSIONS, json={"metadata_tags": [nothing]}),
        alice.patch(session_url(chat), json={"metadata_tags": [nothing]}),
        alice.post(f"{SESSIONS}bulk", json=bulk),
        alice.get(SESSIONS, query_string={"tag": nothing}),
    ):
        assert_problem(answer, 422)


@pytest.mark.parametrize("some", ["\ufeff", "\u200b", "\x1b", "\u180e", "\u2060"])
def test_a_tag_of_what_is_no_white_space_is_taken(alice, some):
    answer = alice.post(SESSIONS, json={"metadata_tags": [f"{some} \x1c"]})
    assert answer.json["metadata_tags"] == [some]


def test_headers_are_documented(document):
    created, read = (
        next(
            operation["responses"][status]["headers"]
            for route, operation in operations(document)
            if route.rstrip("/") == wanted
        )
        for wanted, status in (
            ("POST /api/v1/sessions", "201"),
            ("GET /api/v1/sessions/{session_id}", "200"),
        )
    )
    assert set(created) == {"ETag", "Location"}
    assert set(read) == {"ETag"}
    away = document["components"]["responses"]["SERVICE_UNAVAILABLE"]
    assert "Retry-After" in away["headers"]


@pytest.mark.parametrize(
    "name",
    ["SessionCreate", "SessionUpdate", "MessageCreate", "MessageUpdate", "Feedback"],
)
def test_every_body_has_examples(document, name):
    schema = document["components"]["schemas"][name]
    for field, part in schema["properties"].items():
        is_nested = not {"string", "integer", "number"} & {*part.get("type", ())}
        assert is_nested or {"example", "examples", "default"} & set(part), field


@pytest.mark.parametrize("name", ["Session", "Message", "Problem", "Flaw", "Health"])
def test_every_answer_has_examples(document, name):
    schema = document["components"]["schemas"][name]
    for field, part in schema["properties"].items():
        is_plain = part.get("type") in ("string", "integer") and "enum" not in part
        if is_plain and "format" not in part:
            assert {"example", "examples"} & set(part), field


def test_the_examples_are_accepted(document, alice):
    schemas = document["components"]["schemas"]
    made = alice.post(SESSIONS, json=example_of(document, schemas["SessionCreate"]))
    assert made.status_code == 201
    changes = example_of(document, schemas["SessionUpdate"])
    assert alice.patch(session_url(made.json), json=changes).status_code == 200
    body = example_of(document, schemas["MessageCreate"])
    assert body["content"]
    assert alice.post(messages_url(made.json), json=body).status_code == 201


def test_answers_have_the_documented_fields(document, alice, make_session):
    schemas = document["components"]["schemas"]
    chat = make_session(messages=1)
    listing = alice.get(messages_url(chat)).json
    requests = alice.get(f"{messages_url(chat)}?format=openai").json
    for answer, name in (
        (alice.get(session_url(chat)).json, "Session"),
        (alice.get(f"{SESSIONS}?count=true").json, "SessionPage"),
        (listing, "MessageList"),
        (listing["messages"][0], "Message"),
        (requests, "RequestMessageList"),
        (requests["messages"][0], "RequestMessage"),
        (alice.post(SESSIONS, json={"name": 1}).json | NUMBERS, "Problem"),
        (alice.get("/readyz").json, "Health"),
    ):
        optional = set(schemas[name]["properties"]) - set(schemas[name]["required"])
        assert set(answer) >= set(schemas[name]["required"]), name
        assert set(answer) <= set(schemas[name]["properties"]), name
        assert name.endswith("Message") or set(answer) >= optional, name


def test_a_problem_without_flaws_fits_its_schema(document, alice):
    schema = document["components"]["schemas"]["Problem"]
    problem = alice.get("/nope").json
    assert set(schema["required"]) == set(problem)
    assert set(schema["properties"]) - set(problem) == {
        "errors",
        "last_seq",
        "head_seq",
        "limit",
        "used",
    }
