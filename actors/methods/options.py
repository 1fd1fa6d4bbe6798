"""The base of every method's options: what a sweep file may write under ``options:``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from actors.sites import ALLOWED, EVERYWHERE, site_of


def _readable(site: str) -> str:
    allowed = ALLOWED.partition(", or")[0]
    try:
        if site and site_of(site) == EVERYWHERE:
            raise ValueError("activations are read at one site, not everywhere")
    except ValueError as error:
        raise PydanticCustomError("sweep", "{message}", {"message": str(error), "allowed": allowed, "nearest": ""}) from error
    return site


def faults_of(error: ValidationError) -> str:
    """What is wrong with options that a script gives, by their names; a sweep file has lines to tell beside."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


class MethodOptions(BaseModel):
    """Frozen; unknown keys and values of another type are refused. ``site``: where in a block activations are read
    (``actors.sites``); empty: where the cells are steered."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    site: Annotated[str, AfterValidator(_readable)] = ""

    @property
    def content(self) -> dict[str, Any]:
        """What they contribute to an identity: the site where one is named."""
        told = self.model_dump()
        return told if self.site else {key: value for key, value in told.items() if key != "site"}
