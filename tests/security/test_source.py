"""What the source never does, read from the source itself; and the defaults that keep a stranger's code out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.remote import Setup
from actors.types import ModelSpec
from orchestrator.pool.environment import TOKENS, allowed, handed_over
from orchestrator.sweep_file.schema import ModelEntry

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for package in ("orchestrator", "actors") for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "yaml.load", "yaml.unsafe_load", "os.system"}
SAFE_ONLY_WITH = {
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "numpy.load": ("allow_pickle", "False"),
}
"""Calls that run what a file says, but for this keyword, which has to be written."""
THE_USER_S_OWN = {"actors/interventions/own.py": ["exec", "compile"]}
"""Where the code of a file runs that the user's own sweep file names, as it was when the sweep was planned."""


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            keyword, value = SAFE_ONLY_WITH.get(name, ("", ""))
            if name in FORBIDDEN_CALLS or (keyword and words.get(keyword) != value):
                yield name
            yield from (
                f"{word.arg}=True" for word in node.keywords if word.arg == "shell" and ast.unparse(word.value) != "False"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_that_runs_data_as_code(path: Path) -> None:
    own = THE_USER_S_OWN.get(path.relative_to(ROOT).as_posix(), [])
    assert list(offences(ast.parse(path.read_text(encoding="utf-8")))) == own


@pytest.mark.parametrize(
    "code",
    [
        *("import pickle", "from dill import loads", "yaml.load(f, yaml.Loader)", "eval('1')", "run(c, shell=True)"),
        *("torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "np.load(f, allow_pickle=True)"),
    ],
)
def test_what_is_forbidden_is_found(code: str) -> None:
    assert list(offences(ast.parse(code)))


def test_weights_come_as_safetensors_only() -> None:
    """transformers would otherwise take a pickled checkpoint where a repository holds nothing else."""
    calls = [
        (path.name, node)
        for path in (ROOT / "actors").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "AutoModelForCausalLM.from_pretrained"
    ]
    assert "checkpoints.py" in {name for name, _ in calls}
    own = {"embedded.py", "train_adapter.py"}  # they open what comes with the project, or was converted by it
    for name, call in calls:
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name in own or words["use_safetensors"] == "True"
        assert words.get("trust_remote_code", "False") in ("False", "trust_remote_code")


def test_remote_code_is_off_unless_the_sweep_says_so() -> None:
    assert ModelSpec("hub", "some/model").trust_remote_code is False
    assert ModelEntry.model_fields["trust_remote_code"].default is False


SECRETS = ("WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "RAY_AUTH_TOKEN", "RAY_REDIS_PASSWORD", "HF_MY_API_KEY")


def test_a_worker_gets_no_secret_that_it_does_not_need_and_shows_none() -> None:
    driver = {name: f"value of {name}" for name in (*SECRETS, *TOKENS, "DATABASE_URL")}
    assert allowed(driver) == {}, "not even HF_TOKEN: that is handed to the worker itself"
    assert set(handed_over(driver)) == set(TOKENS)
    setup = Setup("actors.worker:ModelWorker", 1, False, {"HF_TOKEN": "hf_very_secret_token"})
    assert "hf_very_secret_token" not in repr(setup)


def test_a_worker_gets_what_it_needs_and_what_the_sweep_names() -> None:
    needed = (
        *("PATH", "HOME", "LC_ALL", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_TOKEN_PATH", "TOKENIZERS_PARALLELISM", "PYTHONPATH"),
        *("RAY_AUTH_TOKEN_PATH", "NCCL_DEBUG", "https_proxy", "TORCHINDUCTOR_CACHE_DIR", "SSL_CERT_FILE"),
    )
    driver = dict.fromkeys((*needed, *SECRETS, "MINE", "OTHER"), "value")
    assert set(allowed(driver)) == set(needed)
    assert set(allowed(driver, ("MINE", "WANDB_API_KEY"))) == {*needed, "MINE", "WANDB_API_KEY"}
    assert set(handed_over(driver, ("MINE",))) == {"MINE"}
