"""What is recorded and shown holds no secret, and everything else as it was."""

import html
import json
import shlex
from urllib.parse import quote, quote_plus

import pytest

from common.text import redacted, redacted_values

KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"s3://AKIAIOSFODNN7EXAMPLE:{KEY}@bucket/runs", "s3://***@bucket/runs"),
        ("s3://user:pass%2Fword@bucket?region=eu", "s3://***@bucket?region=eu"),
        ("https://ghp_0123456789@example.org/x.zip", "https://***@example.org/x.zip"),
        (
            f"s3://bucket/x?access_key=AKIAIOSFODNN7EXAMPLE&secret_key={KEY}&region=eu",
            "s3://bucket/x?access_key=***&secret_key=***&region=eu",
        ),
        ("https://host/x.zip?sv=2024&sig=abc%2Fdef123&se=1", "https://host/x.zip?sv=2024&sig=***&se=1"),
        ("GET /x?X-Amz-Signature=0123abcd&X-Amz-Date=7", "GET /x?X-Amz-Signature=***&X-Amz-Date=7"),
        ('{"token": "abcdef123", "lr": 0.1}', '{"token": "***", "lr": 0.1}'),
        ("Authorization: Bearer abcdef.ghi-jkl", "Authorization: Bearer ***"),
        ("denied for AKIAIOSFODNN7EXAMPLE.", "denied for ***."),
        ("password: hunter22 is wrong", "password: *** is wrong"),
        ('{"password": "correct horse battery", "lr": 1}', '{"password": "***", "lr": 1}'),
        (r'{"password": "two \"quoted\" words"}', '{"password": "***"}'),
        ("Driver=x;Uid=me;Pwd=hunter22;Port=1", "Driver=x;Uid=me;Pwd=***;Port=1"),
        ("DB_PASS=hunter22 GITHUB_PAT='ghp_abc def'", "DB_PASS=*** GITHUB_PAT='***'"),
        (
            "key:\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabcd\n-----END RSA PRIVATE KEY-----\nend",
            "key:\n***\nend",
        ),
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str, shown: str) -> None:
    assert redacted(text, {}) == shown


@pytest.mark.parametrize(
    "text",
    [
        "dashboard  http://127.0.0.1:8265  (it asks for a token: type `ray get-auth-token`)",
        "python -m search.run --space resnet50 --set label_smoothing=0.1 lr=1e-3 --data data",
        "s3://bucket/folder/file@2 and http://host:8000/a@b",
        "runs/first/best.yaml: token_mixer has no default",
        "PWD=/root/first and pass 3: 123456 of 200000; a pattern: abcdefgh",
        "a compat: 1.2.3-4 and bypass=nothing-here",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text, {"HOME": "/root/first", "KEY": "data"}) == text


def test_values_of_secret_variables_are_hidden_wherever_they_stand() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "plain+value/1", "RAY_AUTH_TOKEN_PATH": "/root/.ray/x"}
    text = "tried plain+value/1 and plain%2Bvalue%2F1 from /root/.ray/x"
    assert redacted(text, environment) == "tried *** and *** from /root/.ray/x"


SECRET = "tü\"r's <k&y>\\ 99\nsecond line of it\nshort"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        repr(SECRET),
        repr(SECRET.encode()),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"a": json.dumps([SECRET])}),
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        html.escape(SECRET),
        f"python x.py {shlex.quote(SECRET)}",
        "a log with only  tü\"r's <k&y>\\ 99  of it",
        "a log with only second line of it",
        json.dumps({"line": "second line of it"}),
        quote_plus("second line of it"),
    ],
)
def test_a_variable_s_value_is_hidden_however_it_is_quoted_or_cut_into_lines(text: str) -> None:
    for name in ("MY_TOKEN", "DB_PASS", "GITHUB_PAT", "MYSQL_PWD", "GOOGLE_CREDENTIALS"):
        shown = redacted(text, {name: SECRET})
        assert "***" in shown
        assert "99" not in shown
        assert "second" not in shown


def test_variables_that_only_look_like_secrets_are_none() -> None:
    names = ("PWD", "OLDPWD", "SSH_ASKPASS", "PYTHON_COMPAT")
    assert redacted("in /root/first", dict.fromkeys(names, "/root/first")) == "in /root/first"


def test_values_are_searched_to_any_depth() -> None:
    value = {"a": ["s3://u:p@b", 1, None], "b": {"c": ("x", 0.5)}}
    assert redacted_values(value) == {"a": ["s3://***@b", 1, None], "b": {"c": ["x", 0.5]}}
