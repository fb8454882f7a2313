"""Errors in the code of a space: what it imports, what it asks a trial for, and what it returns."""

import shutil
from pathlib import Path

from tests.remedies.harness import Command, Steps, case
from tests.remedies.searches import plan_search, write_space

TRIAL = "search/space.py::__getattr__"
PROBE = "search/study/searched_ranges.py"
SAME = "search/planning/same_space.py::examine_space"
LR = 'float("lr", 1e-3, 1e-2)'


def change(path: Path, old: str, new: str) -> None:
    """Replaces one text in a file, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@case("search/spaces/_siblings.py::import_module", "must have a name of its own")
def a_file_beside_a_space_with_the_name_of_a_module(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    (tmp_path / "datasets.py").write_text("LOW = 1e-3\n", encoding="utf-8")
    change(path, "def suggest", "from datasets import LOW\n\ndef suggest")
    refusal = yield plan_search(tmp_path, space=path)
    beside = Path(refusal.find(r"but (\S+) has that of another module"))
    beside.rename(tmp_path / "_lows.py")
    change(path, "from datasets", "from _lows")


@case(TRIAL, "must only ask for parameters")
def a_space_that_reports_and_prunes(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    line = "    trial.report(0.5, 1)\n"
    change(path, "    return {", f"{line}    return {{")
    refusal = yield plan_search(tmp_path, space=path)
    assert "trial.report; leave it out, because the search" in refusal.text
    change(path, line, "")
    plan_search(tmp_path, "--grace", "1", "--reduction-factor", "3", space=path)()


@case("search/space.py::_refuse_name", "must be named like a field of TrialConfig")
def a_parameter_with_a_misspelt_name(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr='float("lrr", 1e-3, 1e-2)')
    refusal = yield plan_search(tmp_path, space=path)
    change(path, "lrr", refusal.find(r"did you mean (\w+)\?"))


@case("search/space.py::ask_space", "raises TrialPruned")
def a_space_that_prunes(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    line = "    import optuna\n    raise optuna.TrialPruned\n"
    change(path, "    return {", f"{line}    return {{")
    refusal = yield plan_search(tmp_path, space=path)
    assert "ask for a range only beside the choices" in refusal.text
    change(path, line, "")


@case("search/space.py::ask_space", "end it with `return values`")
def a_space_that_returns_nothing(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    change(path, "    return {", "    values = {")
    refusal = yield plan_search(tmp_path, space=path)
    change(path, "    }\n", f"    }}\n    {refusal.find(r'end it with `(.*)`')}\n")


@case("search/study/optuna_patches.py::_suggest", "must have a value of each")
def a_parameter_that_the_baseline_lacks(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", micro_batch_size='int("micro_batch_size", 4, 64)')
    refusal = yield plan_search(tmp_path, space=path)
    given = refusal.find(r"TrialConfig\((\S+)\)").replace("…", "16")
    change(path, "epochs=9", f"epochs=9, {given}")


@case(SAME, "SpaceError(errors)", f"{PROBE}::answer", "must be asked for")
def a_parameter_that_is_asked_for_twice(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    change(path, "    return {", '    trial.suggest_float("lr", 1e-3, 2e-2)\n    return {')
    refusal = yield plan_search(tmp_path, space=path)
    assert "0.001 … 0.02 and with 0.001 … 0.01; keep one of them" in refusal.text
    change(path, '    trial.suggest_float("lr", 1e-3, 2e-2)\n', "")


@case(SAME, "SpaceError(errors)", f"{PROBE}::compare", "must return each parameter")
def a_parameter_that_isn_t_returned(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    change(
        path, "    return {", '    flip = trial.suggest_categorical("flip", [0, 1])\n    return {'
    )
    change(path, "[0, 1]", "[False, True]")
    refusal = yield plan_search(tmp_path, space=path)
    name = refusal.find(r"but leaves out (\w+); add it to what is returned")
    change(path, "    return {", f'    return {{"{name}": {name},')


@case(SAME, "SpaceError(errors)", f"{PROBE}::compare", "must return the values")
def a_parameter_that_is_changed(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", batch_size='int("batch_size", 5, 64)')
    change(path, "trial.suggest_int", "2 * trial.suggest_int")
    refusal = yield plan_search(tmp_path, space=path)
    advised = refusal.find(r"as by (trial.*\))\.").replace("…", "32, 64")
    change(path, '2 * trial.suggest_int("batch_size", 5, 64)', advised)


NETWORKS = """
from search.space import Space
from trainables.config import TrialConfig


def suggest(trial):
    values = {"network": trial.suggest_categorical("network", ["resnet10", "mini_alexnet"])}
    if values["network"] == "mini_alexnet":
        values["stem"] = "imagenet"
        values["weights"] = "none"
    return values


SPACE = Space(summary="two", dataset="demo", suggest=suggest,
              baseline=TrialConfig(network="resnet10", stem="small", lr=2e-3, epochs=9))
"""


def write_two(tmp_path: Path, old: str = "", new: str = "") -> Path:
    """Writes a sound space of two networks, with one text replaced."""
    path = tmp_path / "two.py"
    path.write_text(NETWORKS, encoding="utf-8")
    if old:
        change(path, old, new)
    return path


@case("search/planning/bounds.py::find_bounds_of_networks", "ConfigError")
def a_field_that_another_network_can_t_have(tmp_path: Path) -> Steps:
    line = '        values["stem"] = "imagenet"\n'
    path = write_two(tmp_path, line, "")
    refusal = yield plan_search(tmp_path, space=path)
    assert refusal.find(r"With network=(\w+), stem must be imagenet") == "mini_alexnet"
    assert "have `suggest` return a value that fits this network" in refusal.text
    write_two(tmp_path, '["resnet10", "mini_alexnet"]', '["resnet10"]')
    plan_search(tmp_path, space=path)()  # without the network
    write_two(tmp_path)


@case("search/space.py::ask_space", "must choose between the weights none and imagenet")
def a_file_of_weights_that_a_space_chooses(tmp_path: Path) -> Steps:
    path = write_two(tmp_path, '"weights"] = "none"', '"weights"] = "mine.pt"')
    refusal = yield plan_search(tmp_path, space=path)
    change(path, '        values["weights"] = "mine.pt"\n', "")
    assert refusal.find(r"for all trials with (--weights)")


CHECK = "search.monitoring.plans.manage_spaces"


@case("search/planning/space_mistakes.py::_beside", "only values that go together")
def values_that_never_go_together(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", momentum='float("momentum", 0.0, 0.5)')
    refusal = yield Command(CHECK, "check", path)
    assert refusal.find(r"it is so with (momentum)=")
    change(path, "epochs=9", "epochs=9, optimizer='sgd', momentum=0.1")


@case(
    "search/planning/fixed_fields.py::find_other_baseline",
    "must be one of the space's configurations",
)
def a_baseline_that_the_space_can_t_give(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    change(path, "    return {", "    return {'flip': True,")
    refusal = yield Command(CHECK, "check", path)
    assert "has flip=False, and `suggest` returns True" in refusal.text
    change(path, "epochs=9", "epochs=9, flip=True")


FILE = "search/planning/space_file.py::write_space"


@case(FILE, "must be a word of letters")
def a_name_that_no_file_can_have(tmp_path: Path) -> Steps:
    command = Command(CHECK, "new", "my-space", "--out", tmp_path)
    refusal = yield command
    return command.replace("my-space", refusal.find(r"write (\w+), and the folder after --out"))


@case(FILE, "--like must name one of the project's spaces")
def a_space_of_one_s_own_like_a_file(tmp_path: Path) -> Steps:
    path = write_space(tmp_path / "mine.py", lr=LR)
    command = Command(CHECK, "new", "other", "--like", path, "--out", tmp_path)
    yield command
    shutil.copy(path, tmp_path / "other.py")
    return Command(CHECK, "check", tmp_path / "other.py")


@case(FILE, "must not replace a file")
def a_new_space_in_place_of_a_file(tmp_path: Path) -> Steps:
    command = Command(CHECK, "new", "mine", "--out", tmp_path)
    command()
    refusal = yield command
    command.replace("mine", "other")()
    Path(refusal.find(r"but (\S+) exists")).unlink()
