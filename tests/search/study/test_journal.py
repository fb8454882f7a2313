"""The Optuna journal: damage is named before a search goes on with it, half a line is cut off."""

import json

import pytest

from results.store import RunError
from search.study.optuna_journal import journal, journal_seal, journal_storage, open_journal
from tests.search.session_on_curves import play
from tests.search.study_on_curves import open_study


@pytest.fixture
def run(tmp_path):
    study = open_study(tmp_path / "run", trials=3)
    play(study)
    study.store.close()
    return tmp_path / "run"


def change(run, before, after):
    path = journal(run)
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after, 1))


def test_one_changed_byte_before_the_last_orderly_end_is_noticed(run):
    seal = json.loads(json.dumps(journal_seal(run)))
    open_journal(run, seal)
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":')  # a search that was killed later
    open_journal(run, seal)
    change(run, b'"intermediate_value":0.', b'"intermediate_value":1.')
    with pytest.raises(RunError, match=r"journal\.log is damaged .* --warm-start .*run\."):
        open_journal(run, seal)
    journal(run).write_bytes(journal(run).read_bytes()[:-200])
    with pytest.raises(RunError, match="it isn't as it was written"):
        open_journal(run, seal)


def test_a_search_that_ends_in_order_on_a_full_disk_goes_on(run):
    """Half a line is in the journal when it is sealed, and is cut off before it is compared."""
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    seal = journal_seal(run)
    open_journal(run, seal)
    assert journal_seal(run) == seal


def test_half_a_line_does_not_damage_the_next_one(run):
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    storage = open_journal(run, None)
    study = storage.get_all_studies()[0]._study_id
    storage.set_study_user_attr(study, "after", 1)
    assert journal_storage(run).get_study_user_attrs(study) == {"after": 1}


def test_a_journal_that_is_none_is_one_sentence(run):
    lines = journal(run).read_bytes().split(b"\n")
    journal(run).write_bytes(b"\n".join([*lines[:3], b"{]", *lines[4:]]))
    with pytest.raises(RunError, match=r"journal\.log is damaged \(JSONDecodeError: .*restore it"):
        journal_storage(run)


def test_parameters_that_differ_from_the_records_are_named(run):
    trials = run / "trials.jsonl"
    lines = [json.loads(line) for line in trials.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        del line["crc32"]
        if line["number"] == 2:
            line["params"]["lr"] = 0.125
    trials.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(RunError, match=r"lr of trial 2 is .* there and 0\.125 in trials\.jsonl"):
        open_study(run, trials=4)
