"""Names: one spelling each, shown safely, and told apart."""

import pytest

from datasets.census.names import find_name_faults, normalise_entry, quote_name, tell_apart


def test_blanks_at_the_ends_of_a_name_can_be_seen() -> None:
    assert quote_name("Cat ") == "«Cat\\x20»"
    assert quote_name("Cat") == "«Cat»"
    assert quote_name("\u3000a b") == "«\\x3000a b»"
    assert quote_name("  ") == "«\\x20\\x20»"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./train/a/1.jpg", "train/a/1.jpg"),
        ("train\\a\\1.jpg", "train/a/1.jpg"),
        ("train//a/./1.jpg", "train/a/1.jpg"),
        (".\\train\\", "train/"),
        ("./", ""),
    ],
)
def test_an_entry_has_one_path(name: str, path: str) -> None:
    assert normalise_entry(name) == path


@pytest.mark.parametrize("name", ["/a", "\\a", "a/../../b", "a\\..\\b", "C:/a", "c:a"])
def test_an_entry_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="would escape its folder"):
        normalise_entry(name)


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["caf\udce9"], "The class folder «caf\\xe9» in train has a name that is not UTF-8; "),
        (["Cat "], "The class folder «Cat\\x20» in train has a name with blanks at its ends; "),
        (["a\tb"], "The class folder «a\\tb» in train has control characters in its name; "),
        (["\ufeffa"], "The class folder «\\ufeffa» in train has control characters in its name; "),
        (
            ["caf\u00e9", "cafe\u0301"],
            "The class folders 'cafe\\u0301' and 'caf\\xe9' in train are one name in two "
            "Unicode forms; ",
        ),
    ],
)
def test_each_faulty_name_has_a_sentence(names: list[str], fault: str) -> None:
    (found,) = find_name_faults("train", names)
    assert found.startswith(fault)


def test_all_faulty_names_are_found_at_once_and_no_others() -> None:
    names = ["Cat", "cat", "a b", "猫", "cafe\u0301", "x ", "y\n"]
    assert len(find_name_faults("train", names)) == 2


def test_classes_of_one_display_name_carry_their_ids() -> None:
    assert tell_apart(["n1", "n2", "n3"], ["crane", "ant", "crane"]) == (
        "crane (n1)", "ant", "crane (n3)",
    )  # fmt: skip
