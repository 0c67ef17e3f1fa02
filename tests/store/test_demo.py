from chatstore.db import run_write
from chatstore.demo.conversations import PREFIX
from chatstore.store.demo import DemoSession, find_demo_sessions, has_own_sessions
from chatstore.store.sessions import create_session
from chatstore.store.trash import trash_session


def create(owner_id="alice", external_id=None):
    return run_write(
        create_session,
        owner_id=owner_id,
        llm_model_name="m",
        external_id=external_id,
    ).id


def test_only_the_external_id_makes_a_session_one_of_the_demo(db_session):
    ours = create(external_id=f"{PREFIX}a")
    assert not has_own_sessions("alice")
    create("bob", f"{PREFIX}a")
    create("alice", f"{PREFIX.upper()}b")
    create("alice", "demo")
    assert find_demo_sessions("alice") == {f"{PREFIX}a": DemoSession(ours, 0, False)}
    assert has_own_sessions("alice")


def test_the_trash_counts(db_session):
    ours, own = create(external_id=f"{PREFIX}a"), create("bob")
    run_write(trash_session, ours, owner_id="alice")
    run_write(trash_session, own, owner_id="bob")
    assert find_demo_sessions("alice") == {f"{PREFIX}a": DemoSession(ours, 0, True)}
    assert not has_own_sessions("alice")
    assert has_own_sessions("bob")
