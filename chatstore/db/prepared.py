"""Compiles statements once and runs them directly on the driver; defines none.

SQLAlchemy's lookup of a compiled statement takes four times as long as SQLite takes to
read a session.
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
    """The caller did not give a parameter that the statement needs: our bug.

    With NULL as a default, a forgotten owner would silently yield an empty list.
    """


class _Parameter(NamedTuple):
    name: str
    constant: Any
    is_constant: bool
    convert: Callable[[Any], Any]

    def value(self, arguments: Mapping[str, Any]) -> Any:
        """Return the value for the driver; raises MissingParameter if there is none."""
        if self.name in arguments:
            return self.convert(arguments[self.name])
        if self.is_constant:
            return self.constant
        raise MissingParameter(self.name)


class _Compiled(NamedTuple):
    text: str
    parameters: Sequence[_Parameter]
    is_positional: bool

    def values(self, arguments: Mapping[str, Any]) -> Any:
        """Return all values for the driver: a tuple if `is_positional`, else a dict."""
        values = tuple(each.value(arguments) for each in self.parameters)
        if self.is_positional:
            return values
        return dict(zip([each.name for each in self.parameters], values, strict=True))


def bounded(
    rows: Select[*tuple[Any, ...]],
    limit: ColumnElement[int],
    offset: ColumnElement[int] | None = None,
) -> Select[*tuple[Any, ...]]:
    """Return `rows` with LIMIT and OFFSET as expressions.

    If LIMIT is a bare parameter, SQLite's plan depends on its value, so SQLite plans
    again at every run. For a page of messages planning takes as long as reading.
    """
    skipped = literal_column("0") if offset is None else cast(offset, Integer)
    return rows.limit(cast(limit, Integer)).offset(skipped)


class Prepared:
    """A statement and its compiled SQL, one text per driver.

    If `plans_each_run`, PostgreSQL plans the statement for its parameters at every
    run. Otherwise PostgreSQL may switch to one generic plan after a few runs.
    """

    def __init__(
        self, statement: ClauseElement, *, plans_each_run: bool = False
    ) -> None:
        self._statement = statement
        self._plans_each_run = plans_each_run
        # The SQL depends on the driver's release of SQLite, so the driver is the key.
        self._compiled: dict[Any, _Compiled] = {}

    def rows(
        self, connection: Connection, arguments: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Return all rows as tuples of the driver's own values.

        `arguments` may have more than the statement needs. Raises SQLAlchemy's errors.
        """
        compiled = self._compiled_for(connection.dialect)
        values = compiled.values(arguments)
        cursor: Any = connection.connection.cursor()
        try:
            _notify_listeners(connection, cursor, compiled.text, values)
            if self._plans_each_run and not compiled.is_positional:
                cursor.execute(compiled.text, values, prepare=False)
            else:
                cursor.execute(compiled.text, values)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
        except connection.dialect.loaded_dbapi.Error as error:
            _raise_as_sqlalchemy(connection, cursor, compiled.text, values, error)
        finally:
            cursor.close()

    def run(
        self, connection: Connection, arguments: Sequence[Mapping[str, Any]]
    ) -> None:
        """Run the statement once for each of `arguments`; raises as `rows` does."""
        compiled = self._compiled_for(connection.dialect)
        values = [compiled.values(each) for each in arguments]
        cursor: Any = connection.connection.cursor()
        try:
            _notify_listeners(connection, cursor, compiled.text, values)
            if len(values) == 1:
                cursor.execute(compiled.text, values[0])
            else:
                cursor.executemany(compiled.text, values)
        except connection.dialect.loaded_dbapi.Error as error:
            _raise_as_sqlalchemy(connection, cursor, compiled.text, values, error)
        finally:
            cursor.close()

    def _compiled_for(self, dialect: Dialect) -> _Compiled:
        compiled = self._compiled.get(dialect.dbapi)
        if compiled is None:
            compiled = self._compiled[dialect.dbapi] = _compile(
                self._statement, dialect
            )
        return compiled


def _notify_listeners(
    connection: Connection, cursor: Any, statement: str, values: Any
) -> None:
    for listener in connection.dispatch.before_cursor_execute:
        listener(connection, cursor, statement, values, None, False)


def _raise_as_sqlalchemy(
    connection: Connection, cursor: Any, statement: str, values: Any, error: Exception
) -> NoReturn:
    # This method is private, but nothing else tells lost connections from other errors,
    # hides values and calls the error listeners.
    connection._handle_dbapi_exception(error, statement, values, cursor, None)
    raise error


def _compile(statement: ClauseElement, dialect: Dialect) -> _Compiled:
    compiled: Any = statement.compile(dialect=dialect)
    state = compiled.construct_expanded_state(compiled.params)
    parameters = []
    for name in state.positiontup or state.parameters:
        bind = compiled.binds[name]
        convert = _converter(bind, dialect)
        constant = convert(state.parameters[name])
        # A parameter without a value is `required`; a literal has a value, even NULL.
        parameters.append(_Parameter(name, constant, not bind.required, convert))
    return _Compiled(state.statement, parameters, compiled.positional)


def _converter(parameter: BindParameter[Any], dialect: Dialect) -> Callable[..., Any]:
    kind = parameter.type.dialect_impl(dialect)
    return kind.bind_processor(dialect) or (lambda value: value)
