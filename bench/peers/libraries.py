"""Libraries that keep chats, each through its own API, one process per library.

    python libraries.py NAME URL

For each line of input, the process appends to and reads sessions of both sizes. It
prints the seconds of each as one line of JSON. Messages are sent one at a time.
"""

import asyncio
import json
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import uuid4

SIZES = (10, 2000)
APPENDS, READS = 20, 5
TEXT = "x" * 240


class Chat(Protocol):
    """One session of a library."""

    async def append(self) -> None:
        """Store one more message."""

    async def read(self) -> int:
        """Read the whole session, as before a model's answer; return its length."""


class OpenAIAgents:
    """openai-agents: SQLAlchemySession."""

    def __init__(self, url: str) -> None:
        from agents.extensions.memory import SQLAlchemySession

        self.session = SQLAlchemySession.from_url(
            str(uuid4()), url=asynchronous(url), create_tables=True
        )

    async def append(self) -> None:
        await self.session.add_items([{"role": "user", "content": TEXT}])

    async def read(self) -> int:
        return len(await self.session.get_items())


class GoogleAdk:
    """google-adk: DatabaseSessionService."""

    service: Any = None

    def __init__(self, url: str) -> None:
        from google.adk.sessions import DatabaseSessionService

        if GoogleAdk.service is None:
            GoogleAdk.service = DatabaseSessionService(asynchronous(url))
        self.session: Any = None

    async def append(self) -> None:
        from google.adk.events import Event
        from google.genai.types import Content, Part

        if self.session is None:
            self.session = await self.service.create_session(
                app_name="bench", user_id="user"
            )
        content = Content(role="user", parts=[Part(text=TEXT)])
        await self.service.append_event(
            self.session, Event(author="user", content=content)
        )

    async def read(self) -> int:
        session = await self.service.get_session(
            app_name="bench", user_id="user", session_id=self.session.id
        )
        return len(session.events)


class LangChain:
    """langchain-community: SQLChatMessageHistory."""

    engine: Any = None

    def __init__(self, url: str) -> None:
        import sqlalchemy
        from langchain_community.chat_message_histories import SQLChatMessageHistory

        if LangChain.engine is None:
            LangChain.engine = sqlalchemy.create_engine(synchronous(url))
        self.history = SQLChatMessageHistory(str(uuid4()), connection=LangChain.engine)

    async def append(self) -> None:
        from langchain_core.messages import HumanMessage

        self.history.add_message(HumanMessage(TEXT))

    async def read(self) -> int:
        return len(self.history.messages)


LIBRARIES: dict[str, Callable[[str], Chat]] = {
    "openai-agents": OpenAIAgents,
    "google-adk": GoogleAdk,
    "langchain-community": LangChain,
}


def asynchronous(url: str) -> str:
    """Return the URL with an asyncio driver."""
    url = url.replace("postgresql://", "postgresql+asyncpg://")
    return url.replace("sqlite://", "sqlite+aiosqlite://")


def synchronous(url: str) -> str:
    """Return the URL with a synchronous driver."""
    return url.replace("postgresql://", "postgresql+psycopg://")


async def timed(work: Callable[[], Awaitable[Any]], times: int) -> float:
    """Return the mean seconds of one run over `times` runs."""
    begun = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - begun) / times


async def serve(name: str, url: str) -> None:
    """Measure once for each line of input."""
    kind = LIBRARIES[name]
    full = kind(url)
    for _ in range(SIZES[-1]):
        await full.append()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        small = kind(url)
        for _ in range(SIZES[0]):
            await small.append()
        found = {
            size: {
                "append": await timed(chat.append, APPENDS),
                "read": await timed(chat.read, READS),
            }
            for size, chat in zip(SIZES, (small, full), strict=True)
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(serve(*sys.argv[1:]))
