"""What looks like a key is kept out of texts, also when it is another machine's."""

from __future__ import annotations

import pytest

from orchestrator.redaction import redacted, redacted_values

HEX = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text",
    [
        "token hf_AbCdEfGhIjKlMnOp was refused",
        f"WANDB_API_KEY={HEX}",
        f'{{"api_key": "{HEX}"}}',
        f"api-key is {HEX}",
        f"wandb: api_key = '{HEX}' is wrong",
        "Authorization: Bearer abcdefghijklmnop",
        "wrong key: sk-proj-abcdefghijklmnop",
        "{'authorization': 'Bearer abcdefghijklmnop'}",
        "https://user:pa55word@host.example/path",
    ],
)
def test_what_looks_like_a_key_goes(text: str) -> None:
    told = redacted(text)
    for secret in ("AbCdEfGhIjKlMnOp", HEX, "abcdefghijklmnop", "pa55word"):
        assert secret not in told
    assert "[" in told


@pytest.mark.parametrize(
    "text", [f"revision {HEX}", "cell-0123456789abcdef0123", "hf_home is not set", "s3://bucket/path", "a:b@c"]
)
def test_what_is_no_key_stays(text: str) -> None:
    assert redacted(text) == text


def test_values_of_the_environment_go_wherever_they_are_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_JUDGES_API_KEY", "of-no-known-form")
    assert redacted("it is of-no-known-form") == "it is [MY_JUDGES_API_KEY]"
    monkeypatch.setenv("HF_TOKEN", "not-of-the-usual-form")
    assert redacted_values({"a": ["x not-of-the-usual-form y", 1]}) == {"a": ["x [HF_TOKEN] y", 1]}
