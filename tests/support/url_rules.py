"""Compiles the URL rules of all test applications once."""

from typing import Any

from werkzeug.routing import Rule


def share_url_rules() -> None:
    """Let equal rules of several applications share what werkzeug compiles of them.

    werkzeug parses each rule, and compiles two functions that take the rule as an
    argument. That was most of the time of `create_app`.
    """
    compile_alone = Rule.compile
    compiled: dict[Any, Rule] = {}

    def compile_once(rule: Rule) -> None:
        assert rule.map is not None
        if rule.defaults:  # the functions contain their values
            compile_alone(rule)
            return
        place = rule.host, rule.subdomain, rule.map.host_matching
        converters = tuple(rule.map.converters.items())
        key = rule.rule, rule.merge_slashes, place, converters
        equal = compiled.get(key)
        if equal is None:
            compile_alone(rule)
            compiled[key] = rule
            return
        rule._parts, rule._trace = equal._parts, equal._trace
        rule._converters = equal._converters
        rule.arguments |= equal.arguments
        rule._build = equal._build.__func__.__get__(rule)  # type: ignore[attr-defined]
        rule._build_unknown = equal._build_unknown.__func__.__get__(  # type: ignore[attr-defined]
            rule
        )

    Rule.compile = compile_once  # type: ignore[method-assign]
