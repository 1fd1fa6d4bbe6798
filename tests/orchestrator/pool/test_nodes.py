"""How many workers stand at once: machines as Ray describes them, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.types import Resources
from orchestrator.pool.ray_nodes import Machine, Need, Room, at_once, bounded, cpu_share, need_of

P4DE = {"CPU": 96.0, "GPU": 8.0, "accelerator_type:A100": 1.0, "accelerator_type:A100-80G": 1.0}
P4D = {"CPU": 96.0, "GPU": 8.0, "accelerator_type:A100": 1.0}
H200 = {"CPU": 192.0, "GPU": 8.0, "accelerator_type:H200": 1.0}
G6 = {"CPU": 16.0, "GPU": 4.0, "accelerator_type:L4": 1.0}
HEAD = {"CPU": 0.0, "memory": 1e10}
CORES = {"CPU": 32.0}
ON_A100, ON_L4, ON_ANY = Resources(1, accelerator="A100-80G"), Resources(1, accelerator="L4"), Resources(1)


def workers(machines: Sequence[Machine], *resources: Resources) -> int:
    share = cpu_share(machines, resources, None)
    return at_once(machines, [need_of(one, share) for one in resources])


@pytest.mark.parametrize(
    ("machines", "resources", "expected"),
    [
        ([P4DE, G6], [ON_A100], 8),
        ([P4DE, G6], [ON_A100, ON_L4], 12),  # the largest kind alone has eight
        ([P4DE, G6], [ON_ANY], 12),
        ([P4DE, P4DE, HEAD], [ON_A100, ON_ANY], 16),
        ([P4DE], [Resources(2), ON_ANY], 8),  # many small ones rather than few large ones
        ([P4DE], [Resources(2)], 4),
        ([P4DE], [Resources(3)], 2),
        ([P4DE], [Resources(0.5), Resources(2)], 16),
        ([P4DE], [Resources(0.75)], 8),  # two of them do not share a GPU, nor does one lie on two
        ([P4DE, P4D, H200, G6], [Resources(1, gpu_memory=80)], 24),  # Ray does not say which A100 a P4D has; an L4 is too small
        ([G6], [Resources(1, gpu_memory=24)], 4),  # sold as 24 GB, of which some is the card's own
        ([{"CPU": 8.0, "GPU": 1.0, "accelerator_type:New": 1.0}], [Resources(1, gpu_memory=80)], 1),  # it is found out there
        ([G6], [Resources(1, cpus=8)], 2),  # the cores are the limit
        ([HEAD], [ON_A100], 0),
        ([HEAD, CORES], [Resources()], 4),
        ([CORES, G6], [Resources(), ON_L4], 4 + 5 + 2),  # four on the L4s with a core each; twelve cores are left there: six each
        ([], [Resources()], 0),
    ],
)
def test_workers_at_once_over_kinds_and_machines(machines: list[Machine], resources: list[Resources], expected: int) -> None:
    assert workers(machines, *resources) == expected


def most_by_trying(machine: Machine, needs: Sequence[Need]) -> int:
    """The largest number of workers, of all combinations."""
    cores, gpus = machine.get("CPU", 0.0), int(machine.get("GPU", 0.0))
    counts = [range(int(cores / need.cpus) + 1) for need in needs]
    return max(
        sum(many)
        for many in product(*counts)
        if sum(n * need.cpus for n, need in zip(many, needs, strict=True)) <= cores
        and sum(n * need.gpus for n, need in zip(many, needs, strict=True)) <= gpus
    )


@given(
    cores=st.integers(0, 6),
    gpus=st.integers(0, 4),
    needs=st.lists(st.builds(Need, st.just(1.0), st.integers(0, 2).map(float)), min_size=1, max_size=3, unique=True),
)
def test_no_combination_holds_more_when_each_takes_one_core(cores: int, gpus: int, needs: list[Need]) -> None:
    machine = {"CPU": float(cores), "GPU": float(gpus)}
    assert at_once([machine], needs) == most_by_trying(machine, needs)


@given(
    cores=st.lists(st.integers(1, 64).map(float), min_size=1, max_size=5),
    count=st.integers(1, 40),
)
def test_the_cores_are_shared_so_that_as_many_fit_as_were_asked_for(cores: list[float], count: int) -> None:
    machines = [{"CPU": one} for one in cores]
    share = cpu_share(machines, [Resources()], count)
    need = Need(share)
    assert at_once(machines, [need]) >= count
    assert share < 1 or share == int(share)
    if share >= 1:
        assert sum(int(one // (share + 1)) for one in cores) < count, "a core more for each would not do"
    steps = round(share / 1e-4)
    assert all(int(one / share + 1e-6) * steps <= round(one / 1e-4) for one in cores), "in the steps in which Ray counts"


def test_the_cores_of_workers_with_gpus_are_left_to_them() -> None:
    assert cpu_share([{"CPU": 12.0, "GPU": 4.0}], [Resources(), Resources(1)], None) == 8
    assert cpu_share([{"CPU": 12.0, "GPU": 4.0}], [Resources()], None) == 12 // 2
    assert cpu_share([{"CPU": 4.0, "GPU": 4.0}], [Resources(), Resources(1)], None) == 4, "where none is left they take turns"


def test_a_part_of_a_gpu_lies_on_one_device() -> None:
    room = Room({"CPU": 8.0, "GPU": 2.0})
    assert room.fill(Need(1.0, 0.75)) == 2
    assert (room.fits(Need(1.0, 0.5)), room.fits(Need(1.0, 0.25)), room.fits(Need(1.0, 1.0))) == (0, 2, 0)


def test_what_ray_and_a_person_read() -> None:
    need = Need(2.0, 1.0, "A100-80G")
    assert need.bundle() == {"CPU": 2.0, "GPU": 1.0, "accelerator_type:A100-80G": 0.001}
    assert need.options() == {"num_cpus": 2.0, "num_gpus": 1.0, "accelerator_type": "A100-80G"}
    assert (str(need), str(Need(8.0)), str(Need(1.0, 0.5))) == ("2 CPUs and 1 A100-80G GPUs", "8 CPUs", "1 CPUs and 0.5 GPUs")
    assert Need(8.0).bundle() == {"CPU": 8.0}


def test_a_bound_leaves_out_no_kind() -> None:
    a, b = Need(1.0, 1.0), Need(8.0)
    assert bounded({a: 10, b: 1}, 4) == [a, b, a, a]
    assert bounded({a: 2, b: 1}, 99) == [a, b, a]
    assert bounded({a: 3, b: 1}, 1) == [a]
    assert bounded({a: 0}, 4) == []
