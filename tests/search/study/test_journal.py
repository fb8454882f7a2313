"""The Optuna journal: damage is named before a search goes on with it, half a line is cut off."""

import pytest

from results.analysis.run_records import read_run_records
from results.analysis.rung_values import read_fitting_proposals
from results.store import RunError, RunStore
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


def seal(run):
    """Ends the run's session in order."""
    store = RunStore(run)
    store.write_manifest({"name": "run", "journal": journal_seal(run)})
    store.close()


def fit(run):
    records = read_run_records(run)
    return read_fitting_proposals(run, records.manifest, records.trials)


def test_one_changed_byte_before_the_last_orderly_end_is_noticed(run):
    seal(run)
    assert len(fit(run)) == 3
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":')  # a search that was killed later
    assert len(fit(run)) == 3
    change(run, b'"intermediate_value":0.', b'"intermediate_value":1.')
    with pytest.raises(RunError, match=r"journal\.log is damaged .* --resume run .*anew"):
        fit(run)
    journal(run).write_bytes(journal(run).read_bytes()[:-200])
    with pytest.raises(RunError, match="it isn't as it was written"):
        fit(run)


def test_a_search_that_ends_in_order_on_a_full_disk_goes_on(run):
    """Half a line is in the journal when it is sealed, and is cut off before it is compared."""
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    sealed = journal_seal(run)
    open_journal(run)
    assert journal_seal(run) == sealed


def test_half_a_line_does_not_damage_the_next_one(run):
    with journal(run).open("ab") as file:
        file.write(b'{"op_code":4,"wor')
    storage = open_journal(run)
    study = storage.get_all_studies()[0]._study_id
    storage.set_study_user_attr(study, "after", 1)
    assert journal_storage(run).get_study_user_attrs(study) == {"after": 1}


def test_a_journal_that_is_none_is_one_sentence(run):
    seal(run)
    lines = journal(run).read_bytes().split(b"\n")
    journal(run).write_bytes(b"\n".join([*lines[:3], b"{]", *lines[4:]]))
    with pytest.raises(RunError, match=r"journal\.log is damaged \(JSONDecodeError: .*; go on"):
        fit(run)
