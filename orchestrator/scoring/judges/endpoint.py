"""An OpenAI-compatible endpoint: where it is, whether it answers, and one question put to it. Knows nothing of rubrics.

The URL and the key come from the environment alone. Retries, their backoff with jitter and ``Retry-After`` are the ``openai``
client's.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from orchestrator.errors import InputError, Problem
from orchestrator.redaction import redacted
from orchestrator.untrusted import visible

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_KEY = "_API_KEY"
_SHOWN = 300
_MOST_TOKENS = 10**9
_PATIENCE = 2
"""Timeouts that a whole reply may take: the client's own, after which it tries again, begins anew with every byte."""
OPENAI_URL = "https://api.openai.com/v1"
"""Where it is asked without a URL: the client itself would take the URL of another judge, and send this one's key there."""
TINY = 16
"""Tokens of the reply that shows that an endpoint answers; some refuse fewer."""
_BARE = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}(/[^@]*)?")
"""Host and port without what comes before them in a URL."""
DECLINED = "refusal"
"""Why a reply ended that says no more than that the model will not judge."""
_UNKNOWN = {"max_tokens": ("max_completion_tokens",), "response_format": ("response_format", "schema")}
"""Fields that not every endpoint knows, and the words in which it says so."""


class EndpointError(Exception):
    """The endpoint gave no reply, in words."""


class UnreachableError(EndpointError):
    """Nor will it answer the next question: it is away, or refuses the key."""


@dataclass(frozen=True)
class Reply:
    """What a model replied to one question, how many tokens that took (0 where that is not told), which model it said that it is,
    and why it ended."""

    text: str
    prompt_tokens: int
    reply_tokens: int
    model: str
    finish_reason: str

    @classmethod
    def kept(cls, said: Mapping[str, Any] | None) -> Reply | None:
        """A reply that was kept; None where there is none, or what is left of it after damage."""
        kinds = {"text": str, "prompt_tokens": int, "reply_tokens": int, "model": str, "finish_reason": str}
        if said is None or {name: type(one) for name, one in said.items()} != kinds:
            return None
        return cls(**said)


@dataclass(frozen=True)
class Endpoint:
    """How to ask one model. ``api_key_env`` names the variable with the key, and the URL's is called alike (``_BASE_URL``);
    ``schema`` is the JSON schema of replies, for endpoints that hold a model to one. ``unknown``: fields of a request that it was
    found not to know."""

    model: str
    api_key_env: str
    temperature: float
    max_tokens: int
    timeout: float
    retries: int
    schema: dict[str, Any]
    unknown: set[str] = field(default_factory=set)

    def check(self) -> None:
        """Ask for next to nothing; InputError, in words, unless the endpoint answers."""
        try:
            asyncio.run(self._check())
        except EndpointError as error:
            raise InputError(Problem("judge", self.model, str(error))) from None

    async def _check(self) -> None:
        async with self.client() as client:
            await self.ask(client, "Reply with the word yes.", tiny=True)

    def client(self, patient: bool = True) -> AsyncOpenAI:
        """A client of it, which tries again if ``patient``; ``UnreachableError`` where package, key or URL is missing."""
        if find_spec("openai") is None:
            raise UnreachableError("the package openai is not installed: pip install 'activation-steering-sweeps[judges]'")
        from openai import AsyncOpenAI, OpenAIError  # takes a second to import

        url, key = os.environ.get(self.url_env), os.environ.get(self.api_key_env)
        if not (url or key):
            raise UnreachableError(f"the environment has neither {self.url_env} nor {self.api_key_env}")
        if url and not _is_url(url):
            bare = "" if _BARE.fullmatch(url) is None else f" before {redacted(url.partition('/')[0])}"
            raise UnreachableError(
                f"{self.url_env} is no URL; allowed: http:// or https://{bare}, as in http://127.0.0.1:8000/v1"
            )
        retries = self.retries if patient else 0
        try:  # a server of one's own asks for no key, the client for some
            http = _within(_PATIENCE * self.timeout)
            return AsyncOpenAI(
                api_key=key or "none", base_url=url or OPENAI_URL, timeout=self.timeout, max_retries=retries, http_client=http
            )
        except (OpenAIError, ValueError) as error:
            raise UnreachableError(f"{self.url_env} is no URL: {_told(error)}") from None

    @property
    def url_env(self) -> str:
        """The variable that has the URL."""
        return f"{self.api_key_env.removesuffix(_KEY)}_BASE_URL"

    def _place(self, client: AsyncOpenAI) -> str:
        """Where it is asked: host and port, which are no secret as the rest of a URL may be, and where they come from."""
        url = client.base_url
        given = self.url_env if os.environ.get(self.url_env) else f"the environment has no {self.url_env}"
        if "@" in url.path:  # what seems to be the host is a part of a password
            return f"the URL in {given}"
        host = redacted(f"[{url.host}]" if ":" in url.host else url.host)
        return f"{host}:{url.port or (443 if url.scheme == 'https' else 80)} ({given})"

    async def ask(self, client: AsyncOpenAI, question: str, tiny: bool = False) -> Reply:
        """One question; ``EndpointError`` where it gets no reply."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            given = await self._create(client, question, tiny)
        except APIStatusError as error:
            if 300 <= error.status_code < 400:
                raise UnreachableError(f"it points elsewhere, {_pointed(error.response)}, which is not followed") from None
            kind = UnreachableError if error.status_code in (401, 403, 404) else EndpointError
            key = f" with the key of {self.api_key_env}" if error.status_code in (401, 403) else ""
            at = f"{self._place(client)}{key}" if kind is UnreachableError else ""
            raise kind(f"it refused with status {error.status_code}{at and f' at {at}'}: {_told(error)}") from None
        except APIConnectionError as error:
            told = _told(error.__cause__ or error)
            raise UnreachableError(f"it cannot be reached at {self._place(client)}: {told}") from None
        except TimeoutError:
            raise EndpointError(f"its reply was not whole after {_PATIENCE * self.timeout:g} s") from None
        except (OpenAIError, ValueError, RecursionError) as error:  # no JSON, none of the form, or nested too deeply
            raise EndpointError(f"it sent no reply that can be read: {_told(error)}") from None
        return self._reply(given)

    async def _create(self, client: AsyncOpenAI, question: str, tiny: bool) -> Any:
        """Once more, and from then on, without what the endpoint says that it does not know."""
        from openai import BadRequestError

        chat: Any = [{"role": "user", "content": question}]
        while True:
            fields = self._fields(tiny)
            try:
                return await client.chat.completions.create(
                    model=self.model, messages=chat, temperature=self.temperature, **fields
                )
            except BadRequestError as error:
                refused = {
                    field for field, words in _UNKNOWN.items() if field in fields and any(one in str(error) for one in words)
                }
                if not refused:
                    raise
                self.unknown.update(refused)

    def _fields(self, tiny: bool) -> dict[str, Any]:
        """What not every endpoint knows: how long a reply may be, by its older name or its newer one, and its form."""
        name = "max_completion_tokens" if "max_tokens" in self.unknown else "max_tokens"
        length: dict[str, Any] = {name: TINY if tiny else self.max_tokens}
        if tiny or "response_format" in self.unknown:
            return length
        shape = {"name": "verdict", "schema": self.schema, "strict": True}
        return {**length, "response_format": {"type": "json_schema", "json_schema": shape}}

    def _reply(self, given: Any) -> Reply:
        """The client checks nothing of what an endpoint sends."""
        try:
            choice = next((one for one in given.choices if getattr(one, "index", None) == 0), None) or given.choices[0]
            text, reason = str(choice.message.content or ""), str(choice.finish_reason or "stop")
            declined = getattr(choice.message, "refusal", None)
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise EndpointError(f"it sent something that is no chat completion: {_told(error)}") from None
        if not text and isinstance(declined, str) and declined:
            text, reason = declined, DECLINED
        read, written = (_count(getattr(given, "usage", None), name) for name in ("prompt_tokens", "completion_tokens"))
        return Reply(text, read, written, visible(str(getattr(given, "model", None) or ""), 100), visible(reason, 40))


def _is_url(text: str) -> bool:
    """Whether it says over HTTP where a server is."""
    try:
        found = urlsplit(text)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:  # a port that is none, half of an IPv6 address
        return False


def _within(seconds: float) -> Any:
    """An HTTP client for ``AsyncOpenAI`` whose replies have to be whole within so many seconds; else ``TimeoutError``. It goes
    nowhere else: where the endpoint is, the environment says."""
    from openai import DefaultAsyncHttpxClient

    class Bounded(DefaultAsyncHttpxClient):
        async def send(self, *request: Any, **options: Any) -> Any:
            async with asyncio.timeout(seconds):
                return await super().send(*request, **options)

    return Bounded(follow_redirects=False)


def _pointed(response: Any) -> str:
    """Where a redirection leads, without what may be secret in it."""
    try:
        place = urlsplit(urljoin(str(response.request.url), response.headers.get("location", "")))
        port = "" if place.port is None else f":{place.port}"
        where = f"{place.scheme}://{place.hostname or ''}{port}{place.path}"
    except ValueError:
        where = "nowhere"
    return f"to {visible(redacted(where), _SHOWN)} (status {response.status_code})"


def _count(usage: Any, name: str) -> int:
    """0 where it is not told, or no number of tokens: the reply counts all the same."""
    tokens = getattr(usage, name, None)
    return tokens if type(tokens) is int and 0 <= tokens <= _MOST_TOKENS else 0


def _told(error: BaseException) -> str:
    return visible(redacted(" ".join(str(error).split())) or type(error).__name__, _SHOWN)
