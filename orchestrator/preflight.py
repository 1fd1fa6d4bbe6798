"""Could a planned sweep run? What the machine, the hub and the models' files say of it, before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from actors.gpus import why_no_gpu
from actors.types import Prompt
from orchestrator.counting import counted, some
from orchestrator.duration import duration
from orchestrator.machine import Machine
from orchestrator.models.hub_facts import HubFacts, facts_here, has_token
from orchestrator.models.known_models import nearest_repository
from orchestrator.models.prompt_lengths import overlong
from orchestrator.paths import on_this_machine
from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.planning.estimate import ModelEstimate
from orchestrator.sweep_file.schema import PoolEntry

MOST = 6
"""Models and repositories that a line names; of more it says how many they are."""
STORED_BYTES = 2
"""Of a weight in a repository whose size is not known: 16 bits."""

Ask = Callable[[Iterable[tuple[str, str | None]]], list[HubFacts]]


@dataclass(frozen=True)
class Preflight:
    """What was found, a sentence each: ``impossible`` (it can run nowhere), ``faults`` (not on this machine), ``warnings``,
    ``facts``, and what could not be found out (``unknown``)."""

    impossible: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def preflight(
    plan: Plan, pool: PoolEntry, ask: Ask = facts_here, machine: Machine | None = None, costs: Costs = DEFAULT_COSTS
) -> Preflight:
    """What stands against ``plan``: on ``machine`` (None: this one), where its workers run there, and by the hub (``ask``)."""
    machine = machine or Machine.here()
    here = on_this_machine(pool.kind)
    found: dict[str, list[str]] = {name: [] for name in Preflight.__dataclass_fields__}
    if here:
        found["facts"].append(_machine_line(machine))
        for kind, text in _on_machine(plan, pool, machine):
            found[kind].append(text)
    else:
        found["unknown"].append(f"memory and GPUs of the cluster at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')}: it is not asked")
    found["warnings"] += _overlong(plan)
    for kind, text in _of_hub(plan, ask, machine if here else None, costs):
        found[kind].append(text)
    return Preflight(**{name: tuple(texts) for name, texts in found.items()})


# --- the prompts


def _overlong(plan: Plan) -> Iterator[str]:
    """Prompts that a model refuses when it is asked: their cells and directions fail."""
    asked: dict[str, dict[int, tuple[Prompt, ...]]] = {model.variant: {} for model in plan.models}
    for cell in plan.cells:
        asked[cell.variant][id(cell.prompts)] = cell.prompts  # many cells share a tuple, and to hash it is slow
    for one in plan.directions:
        asked[one.variant] |= {id(side): side for side in (one.positive, one.negative)}
    for model in plan.models:
        told = overlong(model.spec, dict.fromkeys(prompt for prompts in asked[model.variant].values() for prompt in prompts))
        if told:
            more = f"; and {counted(len(told) - MOST, 'more prompt')}" if len(told) > MOST else ""
            yield f"{model.name}: {'; '.join(told[:MOST])}{more}: what needs them will fail"


# --- the machine


def _machine_line(machine: Machine) -> str:
    memory = "memory not known" if machine.memory is None else f"{size(machine.memory)} of memory"
    return f"Workers run on this machine: {memory}, {machine.cores} core{'s' if machine.cores > 1 else ''}."


def _on_machine(plan: Plan, pool: PoolEntry, machine: Machine) -> Iterator[tuple[str, str]]:
    pairs = list(zip(plan.models, plan.estimate.models, strict=True))
    asking = [model.name for model, _ in pairs if model.resources.gpus]
    if asking and (why := why_no_gpu()):
        asks = "asks" if len(asking) == 1 else "ask"
        yield "faults", f"{_models(asking)} {asks} for a GPU, and on this machine no GPU can be used: {why}"
    large = [model.name for model, _ in pairs if model.resources.cpus > machine.cores]
    if large:
        yield (
            "faults",
            f"{_models(large)} ask{'s' if len(large) == 1 else ''} for more CPUs than the {machine.cores} here: cpus: 1",
        )
    on_cpu = [(model, cost) for model, cost in pairs if not model.resources.gpus]
    if machine.memory is not None:
        yield from _memory(on_cpu, pool, machine.memory, machine.cores)


def _memory(
    pairs: Sequence[tuple[PlannedModel, ModelEstimate]], pool: PoolEntry, memory: int, cores: int
) -> Iterator[tuple[str, str]]:
    mend = "a smaller dtype or a quantization, GPUs (gpus: 1), or a cluster (RAY_ADDRESS)"
    never = [f"{model.name} ({size(cost.weight_bytes)})" for model, cost in pairs if cost.weight_bytes > memory]
    if never:
        yield "faults", f"weights larger than the {size(memory)} of memory here: {some(never)}; give {mend}"
    tight = [f"{model.name} ({size(cost.peak_bytes)})" for model, cost in pairs if cost.weight_bytes <= memory < cost.peak_bytes]
    if tight:
        yield (
            "warnings",
            f"may need more than the {size(memory)} of memory here: {some(tight)}; give engine: {{slots: 8}}, {mend}",
        )
    if pool.kind != "ray":
        return
    for model, cost in pairs:
        workers = min(pool.workers or cores, int(cores / model.resources.cpus))
        if workers > 1 and cost.peak_bytes <= memory < workers * cost.peak_bytes:
            needed = f"{workers} workers with {model.name} may need {size(workers * cost.peak_bytes)}"
            fit = max(1, int(memory / cost.peak_bytes))
            yield (
                "warnings",
                f"{needed} of memory at once, there are {size(memory)} here; give pool: {{kind: ray, workers: {fit}}}",
            )


# --- the hub


def _of_hub(plan: Plan, ask: Ask, machine: Machine | None, costs: Costs) -> Iterator[tuple[str, str]]:
    models = {(one.spec.location, one.spec.revision): one for one in plan.models if one.spec.source == "hub"}
    if not models:
        return
    found = dict(zip(models, ask(models), strict=True))
    token = has_token()
    yield from _refused(found, token)
    yield from _unknown(found, token)
    bare = [facts.repo for facts in found.values() if facts.template is False]
    if bare:
        yield (
            "impossible",
            f"no chat template: {some(bare)}; take the instruction-tuned model, or a folder with chat_template.jinja",
        )
    yield from _downloads(models, found, machine, costs)


def _refused(found: Mapping[tuple[str, str | None], HubFacts], token: bool) -> Iterator[tuple[str, str]]:
    for (repo, revision), facts in found.items():
        if facts.there is False:
            nearest = nearest_repository(repo)
            meant = f"; did you mean {nearest!r}?" if nearest else ""
            private = "" if token else " (a private one needs HF_TOKEN)"
            yield "impossible", f"the hub has no repository {repo!r} with a revision {revision or 'main'!r}{private}{meant}"
        elif facts.opens is False:
            how = "with the account of this token" if token else "and set HF_TOKEN (or `hf auth login`); there is no token"
            yield "impossible", f"{repo} is gated and does not open: accept its licence on https://huggingface.co/{repo} {how}"


def _unknown(found: Mapping[tuple[str, str | None], HubFacts], token: bool) -> Iterator[tuple[str, str]]:
    silent = [facts for facts in found.values() if facts.why]
    if not silent:
        return
    gated = [facts.repo for facts in silent if facts.gated]
    if gated:
        there = "there is a token, which was not tried" if token else "there is no token: set HF_TOKEN (or `hf auth login`)"
        yield "warnings", f"known to be gated, their licences must be accepted on the hub: {some(gated)}; {there}"
    for why in dict.fromkeys(facts.why for facts in silent):
        names = [facts.repo for facts in silent if facts.why == why]
        which = some(names) if len(names) <= MOST else f"{len(names)} repositories"
        yield "unknown", f"whether {which} can be had, their sizes and chat templates: {why}"
    for facts in silent:
        if nearest := nearest_repository(facts.repo):
            yield "warnings", f"{facts.repo} is not known here; did you mean {nearest!r}?"


def _downloads(
    models: Mapping[tuple[str, str | None], PlannedModel],
    found: Mapping[tuple[str, str | None], HubFacts],
    machine: Machine | None,
    costs: Costs,
) -> Iterator[tuple[str, str]]:
    wanted = {pair: facts for pair, facts in found.items() if not facts.cached and facts.there is not False}
    if not wanted:
        return
    sizes = {pair: facts.size or STORED_BYTES * models[pair].shape.parameters for pair, facts in wanted.items()}
    total = sum(sizes.values())
    each = [f"{repo} {size(sizes[repo, revision])}" for repo, revision in sizes]
    told = some(each) if len(each) <= MOST else f"{len(each)} repositories"
    rough = "" if all(facts.size for facts in wanted.values()) else ", reckoned from the models' sizes"
    rate = f"{costs.download_bandwidth / 1e6:.0f} MB/s (download_bandwidth of a costs file)"
    yield "facts", f"To download{rough}: about {size(total)} ({told}), {duration(total / costs.download_bandwidth)} at {rate}."
    if machine is not None and machine.disk is not None and total > machine.disk:
        lack = f"{size(total)} to download, {size(machine.disk)} free where the hub's cache lies"
        yield "faults", f"{lack}; free some, or set HF_HOME to a larger disk"


# --- words


def size(count: float) -> str:
    """Bytes for people: 568 MiB, 14.2 GiB, 270 GiB."""
    if count < 2**30:
        return f"{count / 2**20:.0f} MiB"
    return f"{count / 2**30:.1f} GiB" if count < 100 * 2**30 else f"{count / 2**30:.0f} GiB"


def _models(names: Sequence[str]) -> str:
    return f"model{'s' if len(names) > 1 else ''} {some(names)}" if len(names) <= MOST else f"{len(names)} models"
