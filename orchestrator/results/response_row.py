"""The row of a stored response, whose fields declare the columns, made from a worker's response and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from actors.types import FinishReason, Response


@dataclass(frozen=True, kw_only=True)
class ResponseRow:
    """One row of ``responses/<cell_id>.parquet``."""

    prompt_id: Annotated[str, "of the prompt, in the behavior's file"]
    prompt: Annotated[str, "its text"]
    response: Annotated[str, "all that the model wrote, special tokens left out"]
    token_ids: Annotated[tuple[int, ...], "what the model wrote, without the token that stops"]
    prompt_tokens: Annotated[int, "tokens of the prompt as the chat template renders it"]
    new_tokens: Annotated[int, "tokens of the response"]
    finish_reason: Annotated[
        str,
        "`stop`, `length` where `max_new_tokens` was reached, or `thought` where `max_thought_tokens` was, inside a thought",
    ]
    marked_response: Annotated[
        str | None, "the response with those special tokens in it that mark thoughts and channels; null where there are none"
    ] = None
    prompt_opens: Annotated[
        str | None,
        "the mark that opens the thought in which the rendered prompt ends, such as `<think>`; empty where it ends in none, null "
        "in responses of earlier versions",
    ] = None
    sample: Annotated[int, "which of the prompt's responses, from 0"] = 0
    category: Annotated[str | None, "of the prompt, in the behavior's file"] = None
    condition_cosines: Annotated[
        tuple[float, ...] | None,
        "of the cell's conditions, in order: the cosine between the prompt's unsteered activation and the condition's direction; "
        "null where there are none",
    ] = None
    acted: Annotated[
        tuple[bool, ...] | None, "of the cell's directions, in order: whether it steered this response; null where all always do"
    ] = None

    @classmethod
    def of(cls, response: Response, category: str | None = None) -> ResponseRow:
        """What is stored of ``response``, to a prompt of this ``category``."""
        return cls(
            prompt_id=response.prompt_id,
            prompt=response.prompt,
            response=response.text,
            token_ids=response.token_ids,
            prompt_tokens=response.prompt_tokens,
            new_tokens=len(response.token_ids),
            finish_reason=response.finish_reason,
            marked_response=response.marked,
            prompt_opens=response.prompt_opens,
            sample=response.sample,
            category=category,
            condition_cosines=tuple(one for one in response.cosines if one is not None) or None,
            acted=response.acted or None,
        )

    def stored(self) -> Response:
        """The response again; its ``cosines`` are those of conditions alone, in order."""
        return Response(
            prompt_id=self.prompt_id,
            prompt=self.prompt,
            text=self.response,
            token_ids=self.token_ids,
            prompt_tokens=self.prompt_tokens,
            finish_reason=cast("FinishReason", self.finish_reason),
            marked=self.marked_response,
            prompt_opens=self.prompt_opens,
            sample=self.sample,
            cosines=self.condition_cosines or (),
            acted=self.acted or (),
        )
