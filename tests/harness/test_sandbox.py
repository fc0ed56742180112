"""The sandbox: right programs pass, hostile ones harm nothing and never pass."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile import HOSTILE, TESTS

from redone.harness.sandbox.inside import protocol
from redone.harness.sandbox.service import ForkSandbox, SandboxUnavailable
from redone.tasks.schema import Outcome

GOOD = "def add(a, b):\n    return a + b\n"
LEVELS = ("namespaces", "landlock")


@pytest.fixture(scope="module", params=LEVELS)
def sandbox(request):
    try:
        service = ForkSandbox(workers=2, memory=2**29, isolation=request.param)
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    yield service
    service.close()


@pytest.fixture(scope="module")
def any_sandbox():
    service = ForkSandbox(workers=1)
    yield service
    service.close()


@pytest.fixture(scope="module")
def bait(tmp_path_factory):
    """What hostile programs go for: a secret, an open folder, a port, this process."""
    folder = tmp_path_factory.mktemp("bait")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o777 if above == folder else 0o755)
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o666)
    held = os.open(secret, os.O_RDONLY)
    os.set_inheritable(held, True)
    os.environ["REDONE_TEST_SECRET"] = "1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "secret": str(secret),
            "folder": str(folder),
            "port": server.getsockname()[1],
            "pid": os.getpid(),
            "home": os.path.expanduser("~"),
            "held": held,
        }
    os.close(held)
    del os.environ["REDONE_TEST_SECRET"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_ends_in_time_harms_nothing_and_does_not_pass(name, sandbox, bait):
    started = time.monotonic()
    outcome = sandbox.run(HOSTILE[name].format(**bait), TESTS, seconds=0.5)
    assert not outcome.passed, name
    assert outcome.failure in ("wrong", "format")
    assert outcome.detail.isprintable()
    assert time.monotonic() - started < 15
    folder = bait["folder"]
    assert os.listdir(folder) == ["secret"]
    assert Path(bait["secret"]).read_text() == "secret"
    assert os.stat(bait["secret"]).st_mode & 0o777 == 0o666
    assert sandbox.run(GOOD, TESTS).passed


IN_ONE_PROCESS = (
    "exits 0", "exits 0 without clean-up", "exits 0 when called", "exits 0 in atexit",
    "equals everything", "an object that equals everything", "is a class that is itself the answer",
    "reads the environment", "reads the environment of others", "reads /etc/passwd",
    "reads a file outside", "reads an inherited descriptor", "connects to this machine", "listens",
    "runs a shell", "becomes a shell", "runs a program by subprocess", "becomes a daemon",
    "scans its own memory for the tests",
)  # fmt: skip


@pytest.mark.parametrize("name", IN_ONE_PROCESS)
def test_without_a_sandbox_they_get_through(name, bait):
    """The table proves something: run plainly, with exit status 0 as the sign, these pass."""
    text = f"{HOSTILE[name].format(**bait)}\n{TESTS}\n"
    done = subprocess.run(
        [sys.executable, "-c", text], pass_fds=[bait["held"]], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()


def test_none_of_them_had_to_restart_the_fork_server(any_sandbox, bait):
    server = any_sandbox._workers[0]._process.pid
    for name in (
        "kills its parent",
        "answers with rubbish",
        "closes every descriptor",
        "thread bomb",
    ):
        any_sandbox.run(HOSTILE[name].format(**bait), TESTS, seconds=0.5)
    assert any_sandbox._workers[0]._process.pid == server


def test_there_are_enough_of_them():
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (GOOD, None),
        ("def add(a, b): return a - b", "failed"),
        ("def add(a, b): return a / 0", "error"),
        ("def sub(a, b): return a - b", "error"),
        ("def add(a, b) return a", "syntax"),
        ("\0", "syntax"),
        ("\ud800 = 1", "syntax"),
        ("", "error"),
        ("exit()", "error"),
        ("raise SystemExit", "exit"),
        ("import os; os.abort()", "exit"),
        ("while True: pass", "timeout"),
        ("x = [0] * 10**10", "memory"),
        ("def add(a, b): return [0] * 10**10", "memory"),
        ("x = 1 #" + "x" * 2**20, "memory"),
    ],
    ids=range(15),
)
def test_an_outcome_says_why(any_sandbox, program, reason):
    outcome = any_sandbox.run(program, TESTS, seconds=1)
    assert outcome.reason == reason, outcome
    assert outcome.failure == {None: None, "syntax": "format"}.get(reason, "wrong")


@pytest.mark.parametrize("tests", ["", "x = 1", "def check(f): assert f(1, 2) == 3", "assert add"])
def test_tests_that_call_nothing_prove_nothing(any_sandbox, tests):
    assert any_sandbox.run(GOOD, tests).reason == "tests"


@pytest.mark.parametrize("tests", ["assert add(", "add(lambda: 1, 2)"])
def test_faulty_tests_are_distinguished_from_faulty_programs(any_sandbox, tests):
    assert any_sandbox.run(GOOD, tests).reason == "tests"


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): return x", "for v in (1.5, -0.0, 2**99999, 'é\\ud800', b'x', None, True, 1j, range(3), {1: (2, {3})}, frozenset('ab')):\n    assert f(v) == v and type(f(v)) is type(v)"),
        ("def f(x): return x", "import math\nassert math.isnan(f(math.nan)) and f(math.inf) == math.inf"),
        ("def f(x): x.sort()", "v = [3, 1, 2]\nassert f(v) is None\nassert v == [1, 2, 3]"),
        ("def f(n):\n    yield from range(n)", "assert list(f(3)) == [0, 1, 2]"),
        ("import itertools\ndef f(): return itertools.count()", "assert [x for x, _ in zip(f(), range(3))] == [0, 1, 2]"),
        ("from collections import Counter\ndef f(s): return Counter(s)", "assert f('aab') == {'a': 2, 'b': 1}"),
        ("def f(d): return d.keys()", "assert f({1: 2}) == {1} and list(f({2: 0, 1: 0})) == [2, 1]"),
        ("from fractions import Fraction\ndef f(): return Fraction(1, 2)", "assert f() == 0.5"),
        ("class Node:\n    def __init__(self, v): self.v = v; self.left = None\ndef f(n): return n.v + n.left.v", "n = Node(1)\nn.left = Node(2)\nn.left.v = 5\nassert f(n) == 6"),
        ("def f(x):\n    if x < 0: raise ValueError('no')\n    return x", "try:\n    f(-1)\nexcept ValueError as e:\n    assert str(e) == 'no'\nelse:\n    assert False"),
        ("import math\ndef f(x): return x", "assert math.fabs(f(-2.0)) == 2"),
        ("def sum(a, b): return a * b", "assert sum(3, 4) == 12"),
        ("def f(g): return g\ndef g(x): return x + 1", "assert f(g)(1) == 2"),
        ("def f(x): return x", "def check(candidate):\n    assert candidate(1) == 1\ncheck(f)"),
        ("from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int'\ndef f(): return P(1)", "assert f() == P(1) and f().x == 1"),
        ("if __name__ == '__main__':\n    raise SystemExit\ndef f(): return 1", "assert f() == 1"),
        ("def f(): return input()", "try:\n    f()\nexcept EOFError:\n    pass"),
        ("import tempfile\ndef f():\n    import os\n    return os.listdir('.') if os.getcwd() == '/tmp' else []", "assert f() == []"),
    ],
    ids=range(18),
)  # fmt: skip
def test_what_passes_in_one_process_passes_in_two(any_sandbox, program, tests):
    assert any_sandbox.run(program, tests) == Outcome(None, "", pytest.approx(5, abs=5))


def test_a_program_cannot_shadow_the_tests_own_names(any_sandbox):
    program = (
        "def f(x): return 0\nabs = sorted = lambda *a: 0\nclass math:\n    fabs = lambda x: 0\n"
    )
    assert not any_sandbox.run(program, "assert abs(f(3) - 3) < 1").passed
    assert not any_sandbox.run(program, "import math\nassert math.fabs(f(3) - 3) < 1").passed


def test_tests_that_swallow_exceptions_do_not_hide_a_program_that_left(any_sandbox):
    program = "import os\ndef add(a, b): os._exit(0)"
    assert (
        any_sandbox.run(program, "try:\n    add(1, 2)\nexcept BaseException:\n    pass").reason
        == "exit"
    )


def test_programs_know_nothing_of_each_other(any_sandbox):
    leave = "import sys, math\nmath.pi = 3\nsys.mark = 1\ntry: open('/tmp/mark', 'w').close()\nexcept OSError: pass\ndef f(): return 1"
    look = "import sys, math, os\ndef f(): return [hasattr(sys, 'mark'), math.pi == 3, os.path.exists('/tmp/mark')]"
    assert any_sandbox.run(leave, "assert f() == 1").passed
    assert any_sandbox.run(look, "assert f() == [False] * 3").passed


def test_many_are_answered_in_order(any_sandbox):
    numbers = [n % 3 for n in range(12)]
    pairs = [(f"def f(): return {n}", "assert f() == 1") for n in numbers]
    assert [o.passed for o in any_sandbox.run_many(pairs)] == [n == 1 for n in numbers]


def test_hashes_are_the_same_in_every_fork_server(any_sandbox):
    other = ForkSandbox(workers=1)
    outcomes = [
        s.run("def f(): return hash('a')", "assert not f(), f()") for s in (any_sandbox, other)
    ]
    other.close()
    assert outcomes[0].reason == "failed"
    assert outcomes[0].detail == outcomes[1].detail


def test_a_fork_server_that_was_killed_is_started_again(any_sandbox):
    any_sandbox.run(GOOD, TESTS)
    process = any_sandbox._workers[0]._process
    process.kill()
    process.wait()
    assert any_sandbox.run(GOOD, TESTS).passed


def test_nothing_is_left_when_the_harness_is_killed():
    code = (
        "from redone.harness.sandbox.service import ForkSandbox\n"
        "s = ForkSandbox(workers=1)\nprint(s._workers[0]._process.pid, flush=True)\n"
        "s.run('while True: pass', 'f()', seconds=60)\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    server = int(harness.stdout.readline())
    harness.kill()
    harness.wait()
    harness.stdout.close()
    deadline = time.monotonic() + 10
    while (left := _session(server)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def _session(leader):
    """Live processes of a session and its offspring: candidates make sessions of their own."""
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(name)] = (int(fields[1]), int(fields[3]))
    found = {pid for pid, (_, session) in parents.items() if session == leader}
    while more := {p for p, (parent, _) in parents.items() if parent in found} - found:
        found |= more
    return found


def test_the_level_is_what_probes_found_and_never_more(monkeypatch):
    service = ForkSandbox(workers=1, isolation="auto")
    assert (
        service.identity
        == f"fork-1-py{sys.version_info[0]}.{sys.version_info[1]}-{service.isolation.level}"
    )
    service.close()
    # The same fork server, with one attempt that nothing can stop.
    from redone.harness.sandbox import service as module

    monkeypatch.setattr(module, "_PROBES", {**module._PROBES, "arithmetic": "1 + 1"})
    weaker = ForkSandbox(workers=1)
    assert weaker.isolation.level == "limits"
    assert weaker.isolation.open == ("arithmetic",) or "arithmetic" in weaker.isolation.open
    assert "NOT SAFE" in weaker.isolation.line
    weaker.close()


def test_values_from_a_hostile_program_are_built_from_base_types_or_refused():
    class Sly(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    data = json.loads(json.dumps(protocol.encode([Sly(3), {Sly(4): (1,)}], lambda _: {"ref": 0})))
    assert protocol.decode(data, lambda _: None) == [3, {4: (1,)}]
    for bad in (
        {},
        {"tuple": 3},
        {"exec": "x"},
        {"type": "eval"},
        {"set": [[]]},
        {"int": "x"},
        {"a": 1, "b": 2},
    ):
        with pytest.raises((ValueError, TypeError, KeyError)):
            protocol.decode(bad, lambda _: None)


def humaneval(data_dir):
    for line in (data_dir / "general/humaneval/test.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield (
            row["prompt"] + row["canonical_solution"],
            f"{row['test']}\ncheck({row['entry_point']})",
        )


def mbpp(data_dir):
    for line in (data_dir / "general/mbpp/test.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield row["code"], "\n".join([row["test_setup_code"], *row["test_list"]])


@pytest.mark.shared_data
def test_reference_solutions_pass_and_functions_that_return_nothing_do_not(data_dir):
    pairs = [*humaneval(data_dir), *mbpp(data_dir)]
    assert len(pairs) == 164 + 500
    sandbox = ForkSandbox()
    started = time.monotonic()
    outcomes = sandbox.run_many(pairs, seconds=60)
    assert [o for o in outcomes if not o.passed] == []
    assert time.monotonic() - started < 60
    emptied = [(re.sub(r"\breturn\b.*", "return None", p), t) for p, t in pairs[:100]]
    assert not any(o.passed for o in sandbox.run_many(emptied))
    sandbox.close()
