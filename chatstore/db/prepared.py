"""Runs statements that are compiled once, by the driver itself; knows none of them.

To find that it has compiled a statement before costs SQLAlchemy four times what SQLite
takes to read a session.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    ColumnElement,
    Connection,
    Dialect,
    Integer,
    Select,
    cast,
    literal_column,
)


class MissingParameter(KeyError):
    """A statement asks for a parameter that the caller did not give: our mistake.

    A default of NULL would make a forgotten owner an empty list.
    """


class _Parameter(NamedTuple):
    name: str
    constant: Any
    is_constant: bool
    convert: Callable[[Any], Any]

    def value(self, named: Mapping[str, Any]) -> Any:
        """Return what the driver takes; MissingParameter where nothing is given."""
        if self.name in named:
            return self.convert(named[self.name])
        if self.is_constant:
            return self.constant
        raise MissingParameter(self.name)


class _Compiled(NamedTuple):
    text: str
    parameters: Sequence[_Parameter]
    is_positional: bool

    def values(self, named: Mapping[str, Any]) -> Any:
        """Return what the driver takes; MissingParameter where nothing is given."""
        values = tuple(each.value(named) for each in self.parameters)
        if self.is_positional:
            return values
        return dict(zip([each.name for each in self.parameters], values, strict=True))


def bounded(
    rows: Select[Any],
    limit: ColumnElement[int],
    offset: ColumnElement[int] | None = None,
) -> Select[Any]:
    """Return `rows` with LIMIT and OFFSET as expressions.

    For a mere parameter there SQLite looks at its value when it plans, and plans anew
    at every run: for a page of messages that takes as long as the reading.
    """
    skipped = literal_column("0") if offset is None else cast(offset, Integer)
    return rows.limit(cast(limit, Integer)).offset(skipped)


class Prepared:
    """A statement and its texts, one for each kind of database.

    If `is_planned_anew`, PostgreSQL plans it for its parameters at every run; as a
    rule it keeps a plan for any parameters once it has seen a few.
    """

    def __init__(
        self, statement: ClauseElement, *, is_planned_anew: bool = False
    ) -> None:
        self._statement = statement
        self._is_planned_anew = is_planned_anew
        # By driver: what SQL it takes depends on the release of SQLite in it.
        self._compiled: dict[Any, _Compiled] = {}

    def rows(
        self, connection: Connection, named: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Return all rows, their values as the driver gives them.

        `named` may have more than the statement asks for. Raises what SQLAlchemy would.
        """
        compiled = self._for(connection.dialect)
        values = compiled.values(named)
        cursor: Any = connection.connection.cursor()
        try:
            _notify_listeners(connection, cursor, compiled.text, values)
            if self._is_planned_anew and not compiled.is_positional:
                cursor.execute(compiled.text, values, prepare=False)
            else:
                cursor.execute(compiled.text, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
        except connection.dialect.loaded_dbapi.Error as error:
            _raise(connection, cursor, compiled.text, values, error)
        finally:
            cursor.close()

    def run(self, connection: Connection, named: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of `named`; raises as `rows` does."""
        compiled = self._for(connection.dialect)
        values = [compiled.values(each) for each in named]
        cursor: Any = connection.connection.cursor()
        try:
            _notify_listeners(connection, cursor, compiled.text, values)
            if len(values) == 1:
                cursor.execute(compiled.text, values[0])
            else:
                cursor.executemany(compiled.text, values)
        except connection.dialect.loaded_dbapi.Error as error:
            _raise(connection, cursor, compiled.text, values, error)
        finally:
            cursor.close()

    def _for(self, dialect: Dialect) -> _Compiled:
        known = self._compiled.get(dialect.dbapi)
        if known is None:
            known = self._compiled[dialect.dbapi] = _compile(self._statement, dialect)
        return known


def _notify_listeners(
    connection: Connection, cursor: Any, statement: str, values: Any
) -> None:
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, statement, values, None, False)


def _raise(
    connection: Connection, cursor: Any, statement: str, values: Any, error: Exception
) -> NoReturn:
    # Private, but the one place that knows which errors mean a lost connection,
    # hides values and tells listeners.
    connection._handle_dbapi_exception(error, statement, values, cursor, None)
    raise error


def _compile(statement: ClauseElement, dialect: Dialect) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)
    state = compiled.construct_expanded_state(compiled.params)
    parameters = []
    for name in state.positiontup or state.parameters:
        bind = compiled.binds[name]
        convert = _converting(bind, dialect)
        constant = convert(state.parameters[name])
        # A parameter without a value is `required`; a literal has one, even if null.
        parameters.append(_Parameter(name, constant, not bind.required, convert))
    return _Compiled(state.statement, parameters, compiled.positional)


def _converting(parameter: BindParameter[Any], dialect: Dialect) -> Callable[..., Any]:
    kind = parameter.type.dialect_impl(dialect)
    return kind.bind_processor(dialect) or (lambda value: value)
