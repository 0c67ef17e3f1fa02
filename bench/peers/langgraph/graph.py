"""The smallest LangGraph graph that keeps messages: one node that does nothing."""

from langgraph.graph import END, START, MessagesState, StateGraph


def say_nothing(state: MessagesState) -> dict[str, list[str]]:
    return {"messages": []}


graph = (
    StateGraph(MessagesState)
    .add_node("say_nothing", say_nothing)
    .add_edge(START, "say_nothing")
    .add_edge("say_nothing", END)
    .compile()
)
