"""The page and the card of a final training."""

import json
import re
from pathlib import Path

import pytest

from common.errors import RecordError
from results import final
from results.analysis.error_analysis import calibration
from results.analysis.final_run import FinalRun, read_final_run
from results.page.final.final_page import cards, headline, page, seed_rows
from results.page.final.model_card import card, contamination
from tests.results.analysis.test_error_analysis import SEVEN
from tests.results.example_final import drawn, make_final


def repeated(folder: Path, top1: dict[str, float], **config: object) -> None:
    """Records of repeats, each in its folder, with seeds from 5 on."""
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    for seed, (name, value) in enumerate(top1.items(), 5):
        (folder / name).mkdir()
        changed = record | {
            "test_top1": value,
            "config": record["config"] | {"seed": seed} | config,
        }
        (folder / name / "final.json").write_text(json.dumps(changed), encoding="utf-8")


@pytest.fixture
def trained(tmp_path: Path) -> FinalRun:
    return read_final_run(make_final(tmp_path / "final", SEVEN))


def numbers(trained: FinalRun) -> dict[str, tuple[str, str]]:
    found = cards(trained, calibration(trained.predictions))
    return {each.label: (each.number, each.note) for each in found}


def test_its_numbers_are_those_of_the_record_and_the_predictions(trained: FinalRun) -> None:
    assert headline(trained) == "42.9 % of 7 test images are recognised."
    found = numbers(trained)
    assert found["test top-1"] == ("42.9 %", "15.8 … 75.0 % for 7 images, which were opened once")
    assert found["with flip averaging"][0] == "100.0 %"
    assert found["with flip averaging"][1].startswith("57.1 points more")
    assert found["calibration error"][0] == "48.9 %"
    assert "mean of" not in " ".join(found)
    assert seed_rows(trained) == []


def test_several_seeds_have_a_mean_with_student_s_interval(tmp_path: Path) -> None:
    """Of 3/7, 0.5 and 0.6; a repeat of another configuration and a torn one don't count."""
    folder = make_final(tmp_path / "final", SEVEN)
    repeated(folder, {"repeat-2": 0.5, "repeat-10": 0.6})
    repeated(folder, {"repeat-3": 0.9}, epochs=3)
    (folder / "repeat-4").mkdir()
    (folder / "repeat-4" / "final.json").write_text("{", encoding="utf-8")
    found = read_final_run(folder)
    assert found.seeds == [4, 5, 6]
    mean, half = (3 / 7 + 0.5 + 0.6) / 3, 4.302653 * 0.0861102 / 3**0.5
    own = found.over_seeds("test_top1")
    assert own is not None
    assert (own.mean, own.high) == (pytest.approx(mean), pytest.approx(mean + half, abs=1e-5))
    assert headline(found) == (
        "42.9 % of 7 test images are recognised; 51.0 % on average over 3 seeds (29.6 … 72.3 %)."
    )
    assert numbers(found)["mean of 3 seeds"][0] == "51.0 %"
    assert [row[:2] for row in seed_rows(found)] == [["4", "42.9 %"], ["5", "50.0 %"],
                                                     ["6", "60.0 %"]]  # fmt: skip
    assert "| mean test top-1 over seeds | 51.0 % |" in card(found)


def test_the_page_asks_for_nothing_and_reads_no_tags_in_names(trained: FinalRun) -> None:
    html = page(trained)
    assert "<b>hen" not in html.replace("<p><b>", "")
    assert "&lt;b&gt;hen&lt;/b&gt;" in html
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html.partition('id="data-plotly"')[0])
    assert html.count("data:image/jpeg;base64,") == 3 + 1 + 4  # both pairs', then all mistakes
    assert "cat and dog: 3 mistakes" in html
    assert "2 × cat taken for dog; 1 × dog taken for cat" in html


def test_page_and_card_show_control_characters_as_escapes(tmp_path: Path) -> None:
    names = ("a\x1b[31mb", "a\x1b[31mb", "x\u202egnp")
    folder = make_final(tmp_path / "final", SEVEN, names)
    record = json.loads((folder / "final.json").read_text(encoding="utf-8"))
    record["provenance"]["selection"]["provenance"] = {"command": "python \x1b[2J"}
    (folder / "final.json").write_text(json.dumps(record), encoding="utf-8")
    trained = read_final_run(folder)
    assert trained.class_names == [
        "a\\x1b[31mb (n0)", "a\\x1b[31mb (n1)", "x\\u202egnp",
    ]  # fmt: skip
    for text in (page(trained), card(trained)):
        assert not {"\x1b", "\u202e"} & set(text)
        for shown in (r"x1b[31mb (n0)", r"u202egnp", r"x1b[2J"):
            assert shown in text.replace("\\[", "[")


def test_the_card_tells_data_contamination_figures_and_origin(trained: FinalRun) -> None:
    text = card(trained)
    assert text.startswith("# resnet18 on folder\n")
    assert "Pictures &lt;i>of&lt;/i> mine." in text
    assert "trained from scratch" in text
    assert "| test top-1 | 42.9 % | 95 % interval 15.8 … 75.0 % (Wilson) |" in text
    assert "| expected calibration error | 48.9 % | 15 bins of equal width" in text
    assert '\nnetwork: "resnet18"\n' in text
    assert "| configuration chosen by | a rule |" in text
    assert "- cat: 33.3 % recognised\n- dog: 33.3 % recognised\n" in text
    assert "\n\n\n" not in text


@pytest.mark.parametrize(
    ("weights", "of_imagenet", "said"),
    [
        ("none", True, "from scratch"),
        ("imagenet", True, "may have been trained on the very images of test"),
        ("imagenet", False, "isn't known as a part of ImageNet"),
        ("mine.pt", False, "the weights in mine.pt. What they were trained on isn't known"),
    ],
)
def test_what_pretrained_weights_may_have_seen(
    weights: str, of_imagenet: bool, said: str, tmp_path: Path
) -> None:
    found = read_final_run(make_final(tmp_path / "final", SEVEN, weights=weights))
    found.provenance["of_imagenet"] = of_imagenet
    assert said in contamination(found)


def test_200_classes_make_a_page_of_bounded_size(tmp_path: Path) -> None:
    names = tuple(f"class {number // 2}" for number in range(200))
    folder = make_final(tmp_path / "final", drawn(4000, 200), names)
    assert final.main([str(folder)]) == 0
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert len(html) < 4_000_000
    assert "class 7 (n14)" in html
    assert "class 7 (n15)" in html
    assert html.count("<tr>\n<td data-key=") == 200


def test_what_can_not_be_read_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_final(tmp_path / "final", SEVEN)
    (folder / "predictions.npz").unlink()
    for path, said in ((folder, "must be there, for test is opened once"),
                       (tmp_path, "holds no finished final training")):  # fmt: skip
        assert final.main([str(path)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line
    assert not (folder / "report.html").exists()
    other = make_final(tmp_path / "other", SEVEN, names=("a", "b"))
    with pytest.raises(RecordError, match="must name the 3 classes"):
        read_final_run(other)
