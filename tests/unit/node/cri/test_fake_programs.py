from __future__ import annotations

import pytest

from pybernetes.node.cri.fake_programs import Behaviour, Launch, behaviour_of, interpret

FOREVER = Behaviour()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ([], FOREVER),
        (["/server", "--port=80"], FOREVER),
        (["true"], Behaviour(exit_code=0)),
        (["/bin/false"], Behaviour(exit_code=1)),
        (["sleep", "1m", "30"], Behaviour(exit_code=0, after=90, stop_exit_code=143)),
        (["sleep", "infinity"], Behaviour(stop_exit_code=143)),
        (["sleep", "soon"], Behaviour(exit_code=1)),
        (["echo", "-n", "a", "b"], Behaviour(exit_code=0, output=b"a b")),
        (
            ["sh", "-c", "echo $WHO; sleep 2; exit 258"],
            Behaviour(exit_code=2, after=2, output=b"you\n", stop_exit_code=143),
        ),
        (["sh", "-c", "false && echo no"], Behaviour(exit_code=1)),
        (["/bin/sh", "-c", "sleep 1 && exit 1"], Behaviour(exit_code=1, after=1, stop_exit_code=143)),
        (["sh", "-c", "echo start; exec /server"], Behaviour(output=b"start\n")),
        (["sh", "-c", "while true; do sleep 1; done"], FOREVER),
        (["sh", "-c", "echo $(hostname)"], FOREVER),
        (["sh", "-c", "echo 'open"], FOREVER),
        (["sh", "script.sh"], FOREVER),
    ],
)
def test_commands(command: list[str], expected: Behaviour) -> None:
    assert interpret(command, {"WHO": "you"}) == expected


def test_annotations_overrule_the_command_and_names_overrule_all() -> None:
    launch = Launch(
        container="app",
        image="x",
        command=["true"],
        annotations={
            "fake.pybernetes.io/exit-code": "2",
            "fake.pybernetes.io/exit-code.app": "3",
            "fake.pybernetes.io/exit-code.other": "4",
            "fake.pybernetes.io/cpu-millicores": "250",
            "unrelated": "x",
        },
    )
    assert behaviour_of(launch) == Behaviour(exit_code=3, cpu_millicores=250)


def test_an_oom_is_an_exit_with_137() -> None:
    launch = Launch(container="app", image="x", command=[], annotations={"fake.pybernetes.io/oom": "true"})
    assert behaviour_of(launch) == Behaviour(exit_code=137, oom=True)


def test_annotations_that_make_no_sense_are_refused() -> None:
    for name, value in (("exit-code", "one"), ("speed", "1")):
        with pytest.raises(ValueError):
            behaviour_of(
                Launch(container="app", image="x", command=[], annotations={f"fake.pybernetes.io/{name}": value})
            )
