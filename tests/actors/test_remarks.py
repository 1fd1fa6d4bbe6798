"""What a worker logs while a task runs comes out of the task, in order, and nothing of it is left behind."""

from __future__ import annotations

import logging
import warnings

from actors.boundary import Answered, Generate, Load, Outcome, perform
from actors.remarks import KEPT, LOGGER, Remark, Remarks, every_warning
from actors.types import Decoding, EngineOptions, Failure, GenerationJob, ModelInfo, ModelSpec, Prompt, Resources
from tests.fakes import FakeWorker


def job(cell_id: str, text: str) -> GenerationJob:
    return GenerationJob(cell_id, (Prompt("p1", text),), Decoding(8), None)


def worker() -> FakeWorker:
    made = FakeWorker()
    made.load(ModelSpec("folder", "fake"), EngineOptions())
    return made


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [one.text if isinstance(one, Remark) else type(one).__name__ for one in outcomes]


def test_a_warning_comes_before_the_result_that_it_led_to() -> None:
    jobs = (job("a", "[warn going on with 16 slots]"), job("b", "hello"), job("c", "[warn again]"))
    outcomes = list(perform(worker, Generate(jobs)))
    assert kinds(outcomes) == ["going on with 16 slots", "Answered", "Answered", "again", "Answered"]
    remark = outcomes[0]
    assert isinstance(remark, Remark)
    assert (remark.level, remark.source) == ("WARNING", "actors.fake")


def test_a_warning_before_an_error_is_not_lost() -> None:
    outcomes = list(perform(worker, Generate((job("a", "[warn first][raise]"),))))
    assert kinds(outcomes) == ["first", "Failure"]
    assert isinstance(outcomes[1], Failure)


def test_the_handler_goes_even_when_the_task_is_dropped() -> None:
    before = list(logging.getLogger(LOGGER).handlers)
    outcomes = perform(worker, Generate((job("a", "hello"), job("b", "hello"))))
    assert isinstance(next(outcomes), Answered)
    assert len(logging.getLogger(LOGGER).handlers) == len(before) + 1
    del outcomes
    assert logging.getLogger(LOGGER).handlers == before


def test_a_flood_keeps_only_the_last() -> None:
    with Remarks() as remarks:
        for number in range(KEPT + 50):
            logging.getLogger("actors.anything").warning("line %d", number)
            logging.getLogger("actors.anything").info("not kept")
        taken = [remark.text for remark in remarks.taken()]
    assert (len(taken), taken[0], taken[-1]) == (KEPT, "line 50", f"line {KEPT + 49}")


def test_a_loaded_model_says_where_it_is() -> None:
    (loaded,) = perform(FakeWorker, Load("v", ModelSpec("folder", "fake"), EngineOptions(), Resources()))
    assert isinstance(loaded, ModelInfo)
    assert loaded.provenance["host"]
    assert loaded.provenance["pid"].isdigit()


def test_what_libraries_warn_of_is_held_back_cleaned_and_kept_once() -> None:
    library = logging.getLogger("transformers")
    before = list(library.handlers)
    shown = warnings.showwarning
    with Remarks() as remarks:
        for _ in range(2):
            logging.getLogger("transformers.modeling_utils").warning("\x1b[1mLOAD\x1b[0m\n  REPORT")
            logging.getLogger("peft.tuners").warning("100 % tied")
        with every_warning():
            for _ in range(2):
                warnings.warn("the model is not what it seems", UserWarning, stacklevel=1)
            warnings.warn("renamed in v6", FutureWarning, stacklevel=1)
        assert not [one for one in library.handlers if type(one) is logging.StreamHandler], "no way straight to the terminal"
        taken = [(remark.source, remark.text) for remark in remarks.taken()]
    assert taken == [
        ("transformers.modeling_utils", "LOAD REPORT"),
        ("peft.tuners", "100 % tied"),
        ("warnings", "the model is not what it seems"),
    ]
    assert set(library.handlers) == set(before)
    assert warnings.showwarning is shown


def test_a_warning_that_was_given_before_is_given_for_the_next_model_too() -> None:
    for _ in range(2):
        with Remarks() as remarks, every_warning():
            warnings.warn("untied", UserWarning, stacklevel=1)
            assert [remark.text for remark in remarks.taken()] == ["untied"]
