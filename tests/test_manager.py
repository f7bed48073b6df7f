"""The manager in virtual time: who may be created, who is there, in which state; and what is told of it.

Every step is also done by a copy that was made of the snapshot before it (see ManagerWorld).
"""

from __future__ import annotations

import pytest

from actorcore.effects import Effect
from actorcore.requests import SendExit
from actorcore.signals import Booted, Event, Received
from supervisors.node_entry import kernel_of
from supervisors.session.settings import SessionSettings
from supervisors.session.words import (
    MAX_PAGE_ROWS,
    CountSessions,
    CreateSession,
    FindSession,
    GetCounters,
    GetDefault,
    GetSession,
    ListIds,
    ListPids,
    ListSessions,
    RenameSession,
    ResolveTarget,
    RestartSession,
    ResumeSession,
    SetDefault,
    StopSession,
    Subscribe,
    SuspendSession,
    UpdateSession,
    WakeSession,
)
from supervisors.tree.sessions import Sessions
from tests.manager_world import WALL_S, ManagerWorld, draft, uuid


def test_acceptance_1_a_created_session_has_its_id_path_times_and_a_live_process() -> None:
    world = ManagerWorld()
    row = world.call(CreateSession(draft(1, metadata={"a": [1]}, config={"temperature": 0.0})))
    assert row["serial"] in world.alive
    assert row == {
        **world.specs[row["serial"]].spec.args[0], "id": uuid(1), "name": "s1", "status": "active", "serial": row["serial"],
        "restarts": 0, "reason": None, "metadata": {"a": [1]}, "config": {"temperature": 0.0},
    }  # fmt: skip
    assert (row["created_at"], row["project"]["path"]) == (row["updated_at"], "/p/1")
    assert row["created_at"] == WALL_S


def test_acceptance_3_names_have_1_to_50_characters() -> None:
    world = ManagerWorld()
    told = [world.call(CreateSession(draft(1, name=name))) for name in ("", "n" * 51, "a\nb", " ", 7)]
    assert [error[0] for error in told] == ["invalid_name", "name_too_long", "invalid_name", "invalid_name", "invalid_name"]
    assert world.call(CreateSession(draft(1, name="n" * 50)))["name"] == "n" * 50
    assert world.starts == ["m:ok"]


@pytest.mark.parametrize(
    ("path", "code"),
    [("p", "path_not_absolute"), ("/p/../q", "path_traversal_detected"), ("/" + "p" * 4096, "path_too_long"),
     ("/p\0q", "invalid_project_path"), ("/etc", "not_permitted"), ("/etc/ssl", "not_permitted"), ("/", "not_permitted"),
     ("/usr", "not_permitted"), ("/var", "not_permitted")],
)  # fmt: skip
def test_acceptance_4_8_a_path_that_a_client_did_not_check_is_refused_here(path: str, code: str) -> None:
    world = ManagerWorld()
    project = {**draft(1)["project"], "path": path}
    assert world.call(CreateSession(draft(1, project=project)))[0] == code
    assert (world.call(ListIds()), world.starts) == ([], [])


def test_acceptance_5_8_only_whole_components_count() -> None:
    world = ManagerWorld()
    for number, path in enumerate(["/tmp/a..b", "/home/x", "/etcetera", "/usr/local", "/us"], 1):
        project = {**draft(number)["project"], "path": path}
        assert world.call(CreateSession(draft(number, project=project)))["project"]["path"] == path


def test_acceptance_9_an_id_or_a_folder_that_is_taken_starts_no_process() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1)))
    other_path = {**draft(2)["project"]}
    same_folder = {**draft(1)["project"], "path": "/another/name"}
    assert world.call(CreateSession(draft(2, id=uuid(1), project=other_path)))[0] == "session_exists"
    assert world.call(CreateSession(draft(2, project=same_folder)))[0] == "project_already_open"
    assert world.starts == ["m:ok"]


def test_acceptance_10_11_78_the_limit_is_asked_before_the_id_and_the_id_before_the_folder() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=10))
    for number in range(1, 11):
        world.call(CreateSession(draft(number)))
    assert world.call(CreateSession(draft(1))) == ("session_limit_reached", "10/10 sessions open")
    assert world.call(CountSessions()) == {"total": 10, "limit": 10, "status": {"active": 10}}
    world.call(StopSession(uuid(2)))
    assert world.call(CreateSession(draft(1)))[0] == "session_exists"
    assert world.call(CreateSession(draft(11)))["status"] == "active"


def test_acceptance_12_13_of_many_who_want_the_last_place_or_one_folder_one_gets_it() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=10))
    asked = [world.ask(CreateSession(draft(number, module="m:slow"))) for number in range(1, 51)]
    assert world.call(CountSessions())["total"] == 10
    refused = [world.answer(number) for number in asked if world.answer(number) is not None]
    assert refused == [("session_limit_reached", "10/10 sessions open")] * 40
    again = ManagerWorld()
    project = draft(1)["project"]
    told = [again.call(CreateSession(draft(number, project=project))) for number in range(1, 51)]
    assert [row for row in told if isinstance(row, dict)] == [told[0]]
    assert {one[0] for one in told[1:]} == {"project_already_open"}


def test_acceptance_15_a_start_that_fails_leaves_nothing_and_its_place_is_free() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=1))
    error = world.call(CreateSession(draft(1, module="m:bad")))
    assert error == ("start_failed", {"error": {"type": "Bad", "text": ""}})
    assert (world.call(ListIds()), world.alive) == ([], set())
    assert world.call(CreateSession(draft(1)))["status"] == "active"


def test_acceptance_15_16_a_start_that_hangs_ends_in_time_and_one_that_is_killed_at_once() -> None:
    world = ManagerWorld()
    hanging = world.ask(CreateSession(draft(1, module="m:slow", policy={"start_timeout_s": 3.0})))
    killed = world.ask(CreateSession(draft(2, module="m:slow")))
    assert world.call(ListIds()) == [uuid(1), uuid(2)]
    world.kill(max(world.alive))
    assert world.answer(killed) == ("start_failed", "killed")
    world.pass_time(3.0)
    assert world.answer(hanging) == ("start_timeout", None)
    assert (world.call(ListIds()), world.alive) == ([], set())


def test_acceptance_15_a_create_that_fails_is_answered_when_the_process_is_gone_and_its_place_is_free_then() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=1))
    asked = world.ask(CreateSession(draft(1, module="m:stuck", policy={"start_timeout_s": 1.0})))
    world.pass_time(1.0)
    assert (world.answer(asked), world.call(GetSession(uuid(1)))["status"]) == (None, "failed")
    assert world.call(CreateSession(draft(2)))[0] == "session_limit_reached"
    world.request(SendExit(world.kernel.table.published()["system:manager"], "kill"))
    world.kill(world.stuck[0])
    assert world.answer(asked) == ("process_not_alive", "killed")  # who was asked died meanwhile
    assert world.call(CreateSession(draft(2)))["status"] == "active"


def test_what_changes_while_a_process_is_being_started_is_told_to_it_as_soon_as_it_is_ready() -> None:
    world = ManagerWorld()
    asked = world.ask(CreateSession(draft(1, module="m:slow")))
    (serial,) = world.alive
    renamed = world.call(RenameSession(uuid(1), "other"))
    assert (renamed["name"], renamed["status"], world.got) == ("other", "initializing", {})
    world.do(Booted(serial))
    world.call(CreateSession(draft(2)))
    told = [(to, one["record"]["name"]) for to, mail in world.got.items() for one in mail]
    assert (world.answer(asked)["name"], told) == ("other", [(serial, "other")])


def test_acceptance_18_while_one_hangs_in_its_start_others_are_created_listed_and_stopped() -> None:
    world = ManagerWorld()
    hanging = world.ask(CreateSession(draft(1, module="m:slow")))
    assert world.call(CreateSession(draft(2)))["status"] == "active"
    assert [row["status"] for row in world.call(ListSessions())["sessions"]] == ["initializing", "active"]
    assert world.call(StopSession(uuid(2)))["status"] == "terminated"
    assert world.answer(hanging) is None


def test_acceptance_17_a_client_that_hangs_up_during_a_create_leaves_a_listed_session() -> None:
    world = ManagerWorld()
    other = world.client()
    world.ask(CreateSession(draft(1, module="m:slow")), other)
    world.request(SendExit(other.serial, "kill"))
    assert [row["status"] for row in world.call(ListSessions())["sessions"]] == ["initializing"]


def test_acceptance_19_metadata_and_config_come_back_as_they_were_given() -> None:
    world = ManagerWorld()
    given = {"metadata": {"z": None, "a": [1, {"b": 2.5}]}, "config": {"provider": "x", "temperature": 0, "own": False}}
    world.call(CreateSession(draft(1, **given)))
    row = world.call(GetSession(uuid(1)))
    assert {key: row[key] for key in given} == given


def test_acceptance_20_without_a_service_that_sessions_need_there_is_no_start() -> None:
    with pytest.raises(ValueError, match=r"^missing service: sessions, limiter$"):
        kernel_of(1, {})
    with pytest.raises(ValueError, match=r"^missing service: limiter$"):
        kernel_of(1, {"sessions": Sessions(2000)})


def test_acceptance_21_22_a_session_is_found_by_id_path_and_name_the_oldest_of_several() -> None:
    world = ManagerWorld()
    for number in (1, 2):
        world.call(CreateSession(draft(number, name="twin")))
    assert world.call(FindSession("id", uuid(2)))["id"] == uuid(2)
    assert world.call(FindSession("path", "/p/2"))["id"] == uuid(2)
    assert world.call(FindSession("name", "twin"))["id"] == uuid(1)
    for by, value in (("id", uuid(3)), ("path", "/p"), ("name", "Twin")):
        assert world.call(FindSession(by, value)) == ("not_found", None)  # type: ignore[arg-type]


def test_acceptance_23_the_list_is_by_creation_and_everything_else_agrees_with_it() -> None:
    world = ManagerWorld()
    for number in (3, 1, 2):
        world.call(CreateSession(draft(number)))
    assert world.call(ResumeSession(uuid(4)))
    world.call(CreateSession(draft(4, created_at=5.0), True))  # one that was saved long ago
    rows = world.call(ListSessions())["sessions"]
    assert [row["id"] for row in rows] == [uuid(4), uuid(3), uuid(1), uuid(2)] == world.call(ListIds())
    assert [row["serial"] for row in rows] == world.call(ListPids())
    assert world.call(CountSessions())["total"] == 4
    first = world.call(ListSessions(limit=3))
    rest = world.call(ListSessions(after=tuple(first["next"]), limit=3))
    assert (first["sessions"] + rest["sessions"], rest["next"]) == (rows, None)
    told = [world.call(ListSessions(limit=limit)) for limit in (0, 1, MAX_PAGE_ROWS, MAX_PAGE_ROWS + 1)]
    refusal = ("invalid_message", f"limit: must be 1 to {MAX_PAGE_ROWS}")
    assert told == [refusal, {"sessions": rows[:1], "next": [5.0, 4]}, {"sessions": rows, "next": None}, refusal]


def test_acceptance_24_the_default_is_the_chosen_one_else_the_configured_one_else_the_oldest() -> None:
    world = ManagerWorld(SessionSettings(default="s3"))
    assert world.call(GetDefault()) == ("no_sessions", None)
    defaults = []
    for number in (1, 2, 3):
        world.call(CreateSession(draft(number)))
        defaults.append(world.call(GetDefault())["id"])
    world.call(SetDefault(uuid(2)))
    defaults.append(world.call(GetDefault())["id"])
    world.call(StopSession(uuid(2)))
    defaults.append(world.call(GetDefault())["id"])
    world.call(StopSession(uuid(3)))
    defaults.append(world.call(GetDefault())["id"])
    assert defaults == [uuid(number) for number in (1, 1, 3, 2, 3, 1)]
    world.call(SetDefault(uuid(1)))
    assert (world.call(SetDefault("")), world.call(GetDefault())["id"]) == (True, uuid(1))
    assert world.call(SetDefault(uuid(9))) == ("not_found", None)


def test_acceptance_25_rename_and_update_change_the_time_of_that_session_only_and_its_process_hears_of_it() -> None:
    world = ManagerWorld()
    before = [world.call(CreateSession(draft(number, config={"temperature": 1.0, "own": 1}))) for number in (1, 2)]
    renamed = world.call(RenameSession(uuid(1), "other"))
    updated = world.call(UpdateSession(uuid(1), {"temperature": 0, "own": None}, {"k": "v"}))
    assert renamed == {**before[0], "name": "other", "updated_at": renamed["updated_at"]}
    assert updated == {**renamed, "config": {"temperature": 0}, "metadata": {"k": "v"}, "updated_at": updated["updated_at"]}
    assert before[0]["updated_at"] < renamed["updated_at"] < updated["updated_at"]
    assert world.call(GetSession(uuid(2))) == before[1]
    told = [one["record"] for one in world.got[before[0]["serial"]]]
    assert [one["updated_at"] for one in told] == [renamed["updated_at"], updated["updated_at"]]
    world.kill(before[0]["serial"])
    assert world.specs[world.call(GetSession(uuid(1)))["serial"]].spec.args == [told[1]]
    for request in (RenameSession(uuid(9), "x"), UpdateSession(uuid(9))):
        assert world.call(request) == ("not_found", None)
    assert world.call(RenameSession(uuid(1), "")) == ("invalid_name", None)


def test_acceptance_94_an_update_tells_everything_that_is_wrong_with_it_and_changes_nothing() -> None:
    world = ManagerWorld()
    before = world.call(CreateSession(draft(1)))
    wrong = {"provider": "", "model": 7, "temperature": 2.1, "max_tokens": 0}
    assert world.call(UpdateSession(uuid(1), wrong)) == (
        "invalid_config", ["invalid_provider", "invalid_model", "invalid_temperature", "invalid_max_tokens"])  # fmt: skip
    assert world.call(GetSession(uuid(1))) == before


def test_acceptance_26_a_target_is_resolved_with_the_list_of_that_moment() -> None:
    world = ManagerWorld()
    for number, name in enumerate(["Apple", "apricot", "pear"], 1):
        world.call(CreateSession(draft(number, name=name)))
    assert [world.call(ResolveTarget(target))["name"] for target in ("1", "APPLE", "p", uuid(2))] == [
        "Apple", "Apple", "pear", "apricot"]  # fmt: skip
    assert world.call(ResolveTarget("ap")) == ("ambiguous_target", ["Apple", "apricot"])
    assert [world.call(ResolveTarget(target)) for target in ("", "4", "9", "x")] == [("not_found", None)] * 4


def test_acceptance_72_73_76_one_of_many_stops_is_told_of_it() -> None:
    world = ManagerWorld()
    serial = world.call(CreateSession(draft(1, module="m:stubborn")))["serial"]
    stops = [world.ask(StopSession(uuid(1))) for _ in range(10)]
    assert [world.answer(number) for number in stops] == [None] * 10
    row = world.call(GetSession(uuid(1)))
    assert (row["status"], row["serial"]) == ("terminating", serial)
    world.pass_time(5.0)
    told = [world.answer(number) for number in stops]
    assert (told[0]["status"], told[0]["reason"], told[1:]) == ("terminated", "killed", [("not_found", None)] * 9)
    assert world.call(StopSession(uuid(1))) == ("not_found", None)
    assert world.alive == set()


def test_acceptance_46_a_temporary_session_that_is_killed_is_gone_with_its_name_and_its_folder() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=1))
    row = world.call(CreateSession(draft(1, policy={"restart": "temporary"})))
    world.kill(row["serial"])
    assert (world.call(ListIds()), uuid(1) in world.kernel.table.published()) == ([], False)
    assert world.call(CreateSession(draft(1)))["status"] == "active"


def test_acceptance_50_a_session_over_its_budget_is_kept_and_a_restart_gives_it_another() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1, policy={"intensity": 1, "backoff_step_s": 0.0})))
    for _ in range(2):
        world.kill(world.call(GetSession(uuid(1)))["serial"])
    row = world.call(GetSession(uuid(1)))
    assert (row["status"], row["serial"], row["restarts"], row["reason"]) == ("gave_up", 0, 1, "killed")
    assert world.call(SuspendSession(uuid(1))) == ("invalid_transition", "gave_up")
    assert world.call(RestartSession(uuid(1)))["status"] == "active"


def in_status(world: ManagerWorld, status: str) -> None:
    """Session 1 is in this status."""
    module = {"initializing": "m:slow", "terminating": "m:stubborn"}.get(status, "m:ok")
    asked = world.ask(CreateSession(draft(1, module=module, policy={"intensity": 0, "idle_timeout_s": 40.0})))
    match status:
        case "idle":
            world.pass_time(10.0)
        case "suspended":
            world.call(SuspendSession(uuid(1)))
        case "terminating":
            world.ask(StopSession(uuid(1)))
        case "gave_up":
            world.kill(world.answer(asked)["serial"])


@pytest.mark.parametrize(("status", "refused"), [
    ("initializing", [SuspendSession, WakeSession, RestartSession]), ("active", [WakeSession]), ("idle", [WakeSession]),
    ("suspended", [SuspendSession, RestartSession]), ("terminating", [SuspendSession, WakeSession, RestartSession]),
    ("gave_up", [SuspendSession, WakeSession]),
])  # fmt: skip
def test_acceptance_83_84_what_cannot_be_in_a_status_is_refused_and_changes_nothing(status: str, refused: list) -> None:
    world = ManagerWorld()
    in_status(world, status)
    before = world.call(GetSession(uuid(1)))
    number = world.call(Subscribe(uuid(1)))["number"]
    assert before["status"] == status
    assert [world.call(word(uuid(1))) for word in refused] == [("invalid_transition", status)] * len(refused)
    assert (world.call(GetSession(uuid(1))), world.call(Subscribe(uuid(1)))["number"]) == (before, number)


def test_a_restart_is_another_process_and_no_crash() -> None:
    world = ManagerWorld()
    before = world.call(CreateSession(draft(1)))
    after = world.call(RestartSession(uuid(1)))
    assert after == {**before, "serial": after["serial"]}
    assert world.alive == {after["serial"]} != {before["serial"]}


def test_a_suspended_session_keeps_its_place_and_wakes_as_who_it_was() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=1))
    before = world.call(CreateSession(draft(1)))
    suspended = world.call(SuspendSession(uuid(1)))
    assert suspended == {**before, "status": "suspended", "serial": 0, "reason": "shutdown"}
    assert world.alive == set()
    assert world.call(CreateSession(draft(2)))[0] == "session_limit_reached"
    assert world.call(SuspendSession(uuid(1))) == ("invalid_transition", "suspended")
    world.call(RenameSession(uuid(1), "other"))
    after = world.call(WakeSession(uuid(1)))
    assert (after["status"], after["name"], after["created_at"]) == ("active", "other", before["created_at"])
    assert world.specs[after["serial"]].spec.args[0]["name"] == "other"
    assert world.call(WakeSession(uuid(1))) == ("invalid_transition", "active")


def test_who_wakes_a_session_that_is_still_ending_waits_for_both() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1, module="m:stubborn")))
    suspend, wake = world.ask(SuspendSession(uuid(1))), world.ask(WakeSession(uuid(1)))
    assert (world.answer(suspend), world.answer(wake)) == (None, None)
    world.pass_time(5.0)
    assert (world.answer(suspend)["status"], world.answer(wake)["status"], len(world.alive)) == ("suspended", "active", 1)
    assert world.call(GetSession(uuid(1)))["status"] == "active"


def test_a_suspended_session_is_stopped_at_once() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1)))
    world.call(SuspendSession(uuid(1)))
    assert world.call(StopSession(uuid(1)))["status"] == "terminated"
    assert world.call(ListIds()) == []


def test_acceptance_85_who_handles_nothing_rests_and_is_stopped_and_whatever_it_handles_counts() -> None:
    world = ManagerWorld()
    serial = world.call(CreateSession(draft(1, policy={"idle_timeout_s": 40.0})))["serial"]
    world.call(CreateSession(draft(2, policy={"idle_timeout_s": 0})))
    statuses = []
    for handled in (0, 1, 1, 1):
        world.handled[serial] = (0.0, handled)
        world.pass_time(10.0)
        statuses.append(world.call(GetSession(uuid(1)))["status"])
    world.handled[serial] = (world.now, 1)  # at it, and not done
    world.pass_time(10.0)
    statuses.append(world.call(GetSession(uuid(1)))["status"])
    world.handled[serial] = (0.0, 2)
    world.pass_time(49.9)
    assert statuses == ["idle", "active", "idle", "idle", "active"]
    assert world.call(GetSession(uuid(1)))["status"] == "idle"
    world.pass_time(0.1)
    assert world.call(ListIds()) == [uuid(2)]
    assert world.call(GetSession(uuid(2)))["status"] == "active"


def test_acceptance_52_a_killed_manager_goes_on_with_the_same_sessions() -> None:
    world = ManagerWorld()
    rows = [world.call(CreateSession(draft(number))) for number in (1, 2)]
    world.call(CreateSession(draft(3)))
    world.call(SuspendSession(uuid(3)))
    before = world.kernel.table.published()["system:manager"]
    world.request(SendExit(before, "kill"))
    assert world.kernel.table.published()["system:manager"] != before
    assert world.call(ListSessions())["sessions"][:2] == rows
    assert world.call(WakeSession(uuid(3)))["status"] == "active"
    world.kill(rows[0]["serial"])
    assert world.call(GetSession(uuid(1)))["restarts"] == 1
    assert world.call(StopSession(uuid(2)))["status"] == "terminated"


def test_the_supervisor_killed_takes_its_sessions_along_and_the_manager_knows() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1)))
    world.request(SendExit(world.kernel.table.published()["system:sessions"], "kill"))
    assert (world.call(ListIds()), world.alive) == ([], set())
    assert world.call(CreateSession(draft(1)))["status"] == "active"


def test_acceptance_163_everything_that_is_told_is_counted() -> None:
    world = ManagerWorld()
    world.kill(world.call(CreateSession(draft(1)))["serial"])
    world.call(StopSession(uuid(1)))
    counted = {"session_created": 1, "session_status": 6, "session_crashed": 1, "session_restarted": 1, "session_terminated": 1}
    assert [world.call(GetCounters()), world.call(GetCounters(reset=True))] == [counted, counted]
    assert world.call(GetCounters()) == {}


def test_who_wakes_suspends_and_wakes_again_before_the_first_has_come_to_pass_has_a_session_that_is_awake() -> None:
    world = ManagerWorld()
    asked = world.ask(CreateSession(draft(1, module="m:slow")))
    world.do(Booted(max(world.alive)))
    assert world.answer(asked)["status"] == "active"
    assert world.call(SuspendSession(uuid(1)))["status"] == "suspended"
    first = world.ask(WakeSession(uuid(1)))
    waking = max(world.alive)
    suspending = world.ask(SuspendSession(uuid(1)))
    assert world.answer(first) == ("not_running", None)
    second = world.ask(WakeSession(uuid(1)))
    world.do(Booted(waking))
    assert (world.answer(suspending)["status"], world.answer(second), waking in world.alive) == ("suspended", None, False)
    (again,) = world.alive
    world.do(Booted(again))
    assert (world.answer(second)["status"], world.answer(second)["serial"]) == ("active", again)
    assert world.call(GetSession(uuid(1)))["status"] == "active"
    assert world.call(StopSession(uuid(1)))["status"] == "terminated"
    assert world.alive == set()


def test_who_wakes_and_then_suspends_a_session_has_one_that_sleeps() -> None:
    world = ManagerWorld()
    asked = world.ask(CreateSession(draft(1, module="m:slow")))
    world.do(Booted(max(world.alive)))
    world.call(SuspendSession(uuid(1)))
    world.ask(WakeSession(uuid(1)))
    waking = max(world.alive)
    suspending = world.ask(SuspendSession(uuid(1)))
    world.do(Booted(waking))
    assert world.answer(suspending)["status"] == "suspended"
    assert (world.call(GetSession(uuid(1)))["status"], world.alive, world.answer(asked)["id"]) == ("suspended", set(), uuid(1))


@pytest.mark.parametrize("is_manager_killed", [False, True])
def test_a_session_that_is_killed_as_it_wakes_sleeps_again(is_manager_killed: bool) -> None:
    world = ManagerWorld()
    world.ask(CreateSession(draft(1, module="m:slow")))
    world.do(Booted(max(world.alive)))
    world.call(SuspendSession(uuid(1)))
    waking = world.ask(WakeSession(uuid(1)))
    if is_manager_killed:
        world.request(SendExit(world.kernel.table.published()["system:manager"], "kill"))
    world.kill(max(world.alive))
    assert world.answer(waking) == (("process_not_alive", "killed") if is_manager_killed else ("start_failed", "killed"))
    assert world.call(GetSession(uuid(1)))["status"] == "suspended"
    again = world.ask(WakeSession(uuid(1)))
    world.do(Booted(max(world.alive)))
    assert world.answer(again)["status"] == "active"


class Quick(ManagerWorld):
    """Without the copies."""

    def _handled(self, event: Event) -> list[Effect]:
        return self.kernel.handle(event, self.now)

    def cycle(self, count: int) -> int:
        """Create and stop a session so many times; the bytes of the kernel's whole state."""
        for _ in range(count):
            self.call(CreateSession(draft(1)))
            self.call(StopSession(uuid(1)))
            self.do(Received(self.me.serial, max(self.me.seqs)))
        return len(self.kernel.snapshot())


def test_acceptance_82_created_and_stopped_again_and_again_the_daemon_remembers_no_more_than_before() -> None:
    world = Quick()
    before = world.cycle(300)  # the history of events is full
    assert world.cycle(300) - before < 1000  # cancelled alarms wait, at most 64
