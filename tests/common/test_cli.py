"""What all commands say of options that they don't know."""

import pytest

from common.cli import Parser
from datasets import prepare
from search.config import command_line


def parser() -> Parser:
    made = Parser("python -m thing", None)
    made.add_argument("--repeats", type=int, default=1)
    return made


def test_each_unknown_option_has_a_sentence_and_its_value_none() -> None:
    given, errors = parser().parse_known(["--repeat", "3", "--x", "--repeats", "2"])
    assert given.repeats == 2
    assert errors == [
        "--repeat is not an option; did you mean --repeats?",
        "--x is not an option; see --help.",
    ]


def test_a_command_ends_with_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["stray", "--repeat=3"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: stray is not an option; see --help.",
        "error: --repeat=3 is not an option; did you mean --repeats?",
    ]


@pytest.mark.parametrize("made", [prepare.parser(), command_line.parser()])
def test_all_command_lines_are_read_alike(made: Parser) -> None:
    assert isinstance(made, Parser)
    assert not made.allow_abbrev


def test_a_file_of_options_is_told_alike() -> None:
    assert command_line.resolve({"space": "demo", "trails": 9})[1] == [
        "trails is not an option; did you mean trials?"
    ]
