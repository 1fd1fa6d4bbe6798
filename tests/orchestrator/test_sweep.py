"""The sweep file: what is accepted, and that every fault is told with line, value, what is allowed and the nearest name."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
import yaml

from actors.types import DATE, EngineOptions, ExtractorName, Quantization, Resources
from orchestrator.behaviors import NEUTRAL, load_prompts
from orchestrator.damage import DamageSettings
from orchestrator.errors import InputError
from orchestrator.plan import make_plan
from orchestrator.sweep import Sweep, load_sweep
from orchestrator.sweep_file.schema import Multipliers
from orchestrator.sweep_file.yaml_text import MAX_BYTES, parse_yaml
from tests.orchestrator.sweep_files import BROKEN, EMBEDDED, REPO, hub, sweep_data, write_adapter, write_model, write_sweep

# file -> for each problem: (line, what its report says in this order: field, value, allowed, nearest)
FAULTS: dict[str, list[tuple[int | None, tuple[str, ...]]]] = {
    "ablation_multiplier": [(9, ("multipliers[1]", "out of range for ablation", "got 15.0", "0 (nothing) to 1"))],
    "anchors": [(8, ("anchors and aliases", "got 'all'", "write the value out"))],
    "bad_syntax": [(9, ("not valid YAML", "expected ',' or ']'", "got 'multipliers: [4]'"))],
    "cannot_fit": [(6, ("models.huge.gpus", "262.8 GiB", "1 x T4 has 15.0 GiB", "a larger accelerator"))],
    "depth_out_of_range": [(8, ("depths[1]", "out of range", "got 60", "below 1"))],
    "duplicate_key": [(10, ("layers", "duplicate key", "line 8"))],
    "empty_prompts": [(3, ("empty.jsonl:3: text", "the text is empty", "got '   '", "some text"))],
    "everything_at_once": [
        (4, ("models.small.embeded", "unknown key", "embedded, folder, hub", "did you mean 'embedded'?")),
        (7, ("models.other.dtype", "got 'float23'", "float32, float16, bfloat16", "did you mean 'float32'?")),
        (8, ("models.other.gpus", "got -1", "from 0")),
        (13, ("behaviors.refusal.file", "no such file", "no-such-file.jsonl")),
        (14, ("methods[0]", "got 'dimm'", "allowed: dim")),
        (15, ("layers[0]", "layer 30", "third has 30 layers", "0..29")),
        (16, ("multipliers[1]", "got inf", "a finite number")),
        (17, ("scope", "got 'from_layr'", "from_layer, single, list, own", "did you mean 'from_layer'?")),
        (18, ("pool.workers", "got 0", "from 1")),
    ],
    "layer_99": [(8, ("layers[1]", "layer 99", "small has 30 layers", "0..29"))],
    "missing_behavior_file": [
        (7, ("behaviors.refusal.file", "got 'behaviors/overlaping.jsonl'", "'behaviors/overlapping.jsonl'?"))
    ],
    "missing_folder": [(4, ("models.small.folder", "no such folder", "broken/behaviour'", "did you mean 'behaviors'?"))],
    "nan_multiplier": [(9, ("multipliers[1]", "got nan", "a finite number"))],
    "overlapping_prompts": [
        (3, ("overlapping.jsonl:3", "id", "already used in line 1", "got 'P1'")),
        (4, ("overlapping.jsonl:4", "test prompt P4 is also extraction prompt P2 (line 2)", "got 'how do I bake BREAD'")),
    ],
    "typo_in_key": [
        (2, ("multipliers", "is missing")),
        (9, ("multiplers", "unknown key", "layers, multipliers, scope", "did you mean 'multipliers'?")),
    ],
    "unknown_method": [(8, ("methods[0]", "got 'dmi'", "allowed: dim", "did you mean 'dim'?"))],
    "unknown_prompt": [(8, ("behaviors.refusal.prompts[1]", "got 'T81'", "T1, T2", "did you mean 'T8'?"))],
    "unknown_quantization": [(5, ("models.small.quantizations[1]", "got 'in8'", "none, int8, nf4", "did you mean 'int8'?"))],
    "unknown_transfer_model": [(11, ("transfer[0].source", "got 'smal'", "allowed: small", "did you mean 'small'?"))],
    "wide_adapter": [(5, ("models.small.adapter", "width (d_model) 768, the model has 576", "width 576"))],
    "wrong_type": [
        (9, ("multipliers[1]", "wrong type", "got '8'", "a number, without quotes")),
        (11, ("decoding.max_new_tokens", "wrong type", "got 'lots'", "a whole number")),
    ],
}


def load(folder: Path, **changes: object) -> Sweep:
    return load_sweep(write_sweep(folder, sweep_data(**changes)))


def refused(folder: Path, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, **changes)
    return str(caught.value)


def refused_text(folder: Path, text: str) -> str:
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_sweep(folder / "sweep.yaml")
    return str(caught.value)


def test_every_broken_file_is_tested() -> None:
    assert sorted(path.stem for path in BROKEN.glob("*.yaml")) == sorted(FAULTS)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_broken_file_tells_every_fault_and_no_other(name: str) -> None:
    with pytest.raises(InputError) as caught:
        make_plan(load_sweep(BROKEN / f"{name}.yaml"))
    lines = str(caught.value).splitlines()
    assert [problem.line for problem in caught.value.problems] == [line for line, _ in FAULTS[name]]
    for told, (line, parts) in zip(lines, FAULTS[name], strict=True):
        assert f":{line}: " in told
        positions = [told.find(part) for part in parts]
        assert -1 not in positions, (told, parts)
        assert positions == sorted(positions), (told, parts)
    assert "Input should" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
    assert len(lines) <= 24, "more than a screen"
    assert caught.value.exit_code == 2


def test_the_quickstart_is_valid_but_for_the_adapter_it_may_still_lack(tmp_path: Path) -> None:
    text = (REPO / "sweeps" / "quickstart.yaml").read_text(encoding="utf-8")
    (tmp_path / "quickstart.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "behaviors").mkdir()
    (tmp_path / "behaviors" / "refusal.jsonl").write_bytes((REPO / "sweeps" / "behaviors" / "refusal.jsonl").read_bytes())
    write_adapter(tmp_path / "models" / "smollm2-135m-refusal")
    sweep = load_sweep(tmp_path / "quickstart.yaml")
    assert [prompt.id for prompt in sweep.behaviors[0].prompts] == [f"T{number}" for number in range(1, 11)]
    assert sweep.results == Path("results/quickstart")
    assert (sweep.pool.kind, sweep.tracking.tool, sweep.settings.classifier) == ("ray", "none", "text")
    assert sweep.damage == DamageSettings(load_prompts(NEUTRAL)[:4], 4, 0)
    assert sweep.text == text


def test_every_axis_reaches_the_sweep(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "sub" / "adapter")
    (adapter / "chat_template.jinja").write_text("{{ messages[0].content }}{{ b }}{{ enable_thinking }}")
    model = {
        **EMBEDDED,
        "adapter": "sub/adapter",
        "dtype": "bfloat16",
        "quantizations": ["none", "int8", "none"],
        "family": "smol",
        "system_prompt": "Be brief.",
        "template_options": {"enable_thinking": False, "b": 1},
        "gpus": 0.5,
        "cpus": 2,
        "accelerator": "H100",
    }
    sweep = load(
        tmp_path,
        models={"a": model},
        multipliers={"default": [1], "families": {"smol": [2, -3.5]}},
        results="../out",
        engine={"slots": 8, "threads": 2},
        pool={"kind": "local", "workers": 3},
        tracking={"tool": "wandb", "project": "p"},
        max_failures=0,
        scope=["from_layer", "single"],
    )
    plain, int8 = sweep.models
    assert (plain.name, int8.name, int8.key, int8.spec.quantization) == ("a", "a/int8", "a", "int8")
    assert plain.spec.adapter == str(adapter)
    assert (plain.spec.dtype, plain.spec.system_prompt) == ("bfloat16", "Be brief.")
    assert plain.spec.template_options == (("b", 1), ("enable_thinking", False))
    assert plain.resources == Resources(0.5, 2, "H100")
    assert sweep.grids[0].multipliers_of(plain) == (2.0, -3.5)
    assert plain.shape.family == "smol"
    assert sweep.engine == EngineOptions(8, 2)
    assert (sweep.pool.workers, sweep.max_failures, sweep.results) == (3, 0, tmp_path / "../out")


def test_numbers_and_words_that_every_reader_of_yaml_takes_alike_are_read() -> None:
    written = (
        "{a: [0, -0.5, .5, +5, 1e3, 1E-3, 0x10, .inf, true, null], b: ['010', '1:30', \"no\"], c: 2024-07-26, d: abc:01, e: y}"
    )
    read = parse_yaml(written, "sweep.yaml").data
    assert read == {
        "a": [0, -0.5, 0.5, 5, 1000.0, 0.001, 16, float("inf"), True, None],
        "b": ["010", "1:30", "no"],
        "c": "2024-07-26",
        "d": "abc:01",
        "e": "y",
    }


def test_the_date_is_one_for_the_sweep_and_refused_when_it_is_none(tmp_path: Path) -> None:
    assert load(tmp_path / "a", date="2026-01-31").models[0].spec.date == "2026-01-31"
    assert load(tmp_path / "b").models[0].spec.date == DATE == "2024-07-26"
    for wrong in ("31.01.2026", "2026-02-30", 20260131):
        assert "date" in refused(tmp_path / "c", date=wrong)


def test_the_most_specific_multipliers_win() -> None:
    multipliers = Multipliers(default=(1.0,), families={"qwen": (2.0,)}, models={"a": (3.0,)})
    assert [multipliers.of(*names) for names in (("a", "qwen"), ("b", "qwen"), ("c", "x"))] == [(3.0,), (2.0,), (1.0,)]


def test_the_name_tables_agree_with_the_wire_types() -> None:
    assert typing.get_args(ExtractorName) == ("nnsight", "hooks")
    assert typing.get_args(Quantization) == ("none", "int8", "nf4", "nf4-double", "fp4", "fp4-double")


def test_prompts_are_selected_by_id_in_the_files_order_by_split_and_by_limit(tmp_path: Path) -> None:
    by_id = load(tmp_path / "a", behaviors={"b": {"file": "refusal.jsonl", "prompts": ["T9", "T2", "T4"], "limit": 2}})
    assert [prompt.id for prompt in by_id.behaviors[0].prompts] == ["T2", "T4"]
    assert "no split is given" in refused(tmp_path / "b", behaviors={"b": {"file": "refusal.jsonl", "split": "x"}})


def test_near_duplicates_of_the_selected_prompts_are_warnings(tmp_path: Path) -> None:
    (whole,) = load(tmp_path / "a").behaviors[0].warnings
    assert whole.endswith(" 2 of 30 test prompts nearly repeat an extraction prompt: T7 repeats L4, T30 repeats L5")
    assert load(tmp_path / "b", behaviors={"r": {"file": "refusal.jsonl", "limit": 6}}).behaviors[0].warnings == ()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"layers": None}, ("no layers to steer at", "depths:")),
        ({"layers": []}, ("layers", "must not be empty")),
        ({"layers": 9}, ("layers", "wrong type", "got 9", "a list")),
        ({"layers": [True]}, ("layers[0]", "wrong type", "got True", "a whole number")),
        ({"layers": [9.0]}, ("layers[0]", "got 9.0", "a whole number")),
        ({"layers": [-1]}, ("layers[0]", "got -1", "from 0")),
        ({"models": {}}, ("models", "must not be empty")),
        ({"models": {"a b": EMBEDDED}}, ("models.a b", "not a valid name", "letters")),
        ({"models": {"a": {}}}, ("models.a", "one place, here none", "embedded, folder, hub")),
        (
            {"models": {"a": {**EMBEDDED, "folder": "x"}}},
            (
                "models.a",
                "embedded and folder",
            ),
        ),
        ({"models": {"a": {**EMBEDDED, "revision": "main"}}}, ("models.a", "'revision' goes with 'hub'")),
        ({"models": {"a": {"embedded": "smollm2"}}}, ("models.a.embedded", "did you mean 'smollm2-135m-instruct'?")),
        ({"models": {"a": {"hub": "example/nowhere"}}}, ("models.a.hub", "not known here", "shape: {n_layers")),
        *(
            ({"models": {"a": {"hub": name}}}, ("models.a.hub", "not a valid name", "organisation/name"))
            for name in ("../up", "some/two--dashes", "some/name.git", "some/dot.", "a..b/x", "x" * 97, "a/" + "x" * 5000)
        ),
        ({"models": {"a": hub("x", gpus=1, accelerator="A10O")}}, ("models.a.accelerator", "got 'A10O'", "did you mean 'A10G'?")),
        ({"models": {"a": hub("x", accelerator="A100")}}, ("models.a", "'gpus' is 0")),
        ({"models": {"a": hub("x", gpus=1.5)}}, ("models.a.gpus", "got 1.5", "a whole number above 1; a part from 0 to 1")),
        ({"models": {"a": hub("x", gpu_memory=80)}}, ("models.a", "'gpu_memory' is given but 'gpus' is 0")),
        ({"models": {"a": hub("x", gpus=1, gpu_memory=-1)}}, ("models.a.gpu_memory", "got -1")),
        ({"models": {"a": hub("x", gpus=17)}}, ("models.a.gpus", "got 17", "up to 16")),
        (
            {"models": {"a": {**EMBEDDED, "template_options": {"tokenize": True}}}},
            (
                "template_options",
                "'tokenize' is set by",
            ),
        ),
        ({"models": {"a": {**EMBEDDED, "template_options": {"x": [1]}}}}, ("template_options", "'x' has the wrong type")),
        ({"models": {"a": {**EMBEDDED, "adapter": "gone"}}}, ("models.a.adapter", "no such folder")),
        ({"models": {"a": {**hub("x"), "shape": {"n_layer": 2}}}}, ("models.a.shape", "'n_heads' is missing")),
        ({"models": {"a": {**hub("x"), "shape": {"n_layer": 2}}}}, ("models.a.shape.n_layer", "did you mean 'n_layers'?")),
        ({"methods": [{"name": "dim", "options": {"lambda": 1}}]}, ("methods[0].options.lambda", "unknown key")),
        ({"multipliers": []}, ("multipliers", "must not be empty")),
        ({"multipliers": {}}, ("multipliers", "no multipliers for model small", "families: llama")),
        ({"multipliers": {"families": {"lama": [1]}}}, ("multipliers.families.lama", "unknown family", "did you mean 'llama'?")),
        ({"multipliers": {"default": [1], "models": {"smal": [1]}}}, ("multipliers.models.smal", "did you mean 'small'?")),
        ({"intervention": "ablate"}, ("intervention", "addition, ablation")),
        ({"intervention": "twist"}, ("intervention", "unknown intervention", "addition, ablation")),
        ({"transfer": "al"}, ("transfer", "not a list of transfer pairs", "did you mean 'all'?")),
        ({"transfer": [{"source": "small"}]}, ("transfer[0]", "'target' is missing")),
        ({"tracking": "wandb"}, ("tracking", "wandb needs a project")),
        ({"tracking": {"project": "p"}}, ("tracking", "go with a tool")),
        ({"strength": ["absolute", "relative"]}, ("strength", "a grid has one strength", "'absolute', 'relative'")),
        ({"positions": {"first": 4.5}}, ("positions", "'first' takes a whole number of tokens, not 4.5")),
        ({"positions": {"first": 4, "from": 2}}, ("positions", "one of them, not 2: first, from")),
        ({"schedule": {"linear": "x"}}, ("schedule", "'linear' takes a whole number of tokens, not 'x'")),
        ({"search": {"multiplier": [2, 30]}}, ("search", "it is of a grid", "grids: [{search: ...}]")),
        ({"scorers": ["length"]}, ("unknown key here: it is behaviors.NAME.scorers (got 'scorers')", "damage, max_failures")),
        ({"samples": 4}, ("samples: unknown key here: it is decoding.samples",)),
        ({"temperature": 4}, ("it is decoding.temperature or behaviors.NAME.scorers[N].temperature",)),
        ({"max_new_tokens": 4}, ("max_new_tokens: unknown key here: it is decoding.max_new_tokens",)),
        ({"quantizations": ["int8"]}, ("it is of a grid (grids: [{quantizations: ...}]) or models.NAME.quantizations",)),
        ({"layer": [4]}, ("unknown key (got 'layer')", "damage, max_failures; did you mean 'layers'?")),
        ({"models": {"a": {**EMBEDDED, "multipliers": [4]}}}, ("a.multipliers: unknown key here: it is of the top level",)),
        ({"methods": [{"name": "rfm", "iterations": 4}]}, ("methods[0].iterations", "it is methods[N].options.iterations")),
        ({"pool": "slurm"}, ("pool", "got 'slurm'", "ray, local")),
        ({"decoding": {"beams": 4}}, ("decoding.beams", "unknown key", "max_new_tokens")),
        ({"decoding": {"temperature": -1}}, ("decoding.temperature", "out of range", "-1")),
        ({"decoding": {"temperature": 0.7, "top_p": 0}}, ("decoding.top_p", "out of range", "above 0")),
        ({"decoding": {"temperature": 0.7, "samples": 0}}, ("decoding.samples", "out of range", "1")),
        ({"decoding": {"samples": 5}}, ("decoding", "'samples' needs a temperature", "temperature: 0.7")),
        ({"decoding": {"seed": 5}}, ("decoding", "'seed' needs a temperature", "temperature: 0.7")),
        ({"decoding": {"temperature": 0.7, "seed": 2**31}}, ("decoding.seed", "a number up to 2147483647")),
        ({"classifier": "judge"}, ("classifier", "got 'judge'", "text")),
        ({"[key]": 1}, ("[key]", "unknown key")),
        ({"name": "../up"}, ("name", "not a valid name")),
        ({"name": 3}, ("name", "wrong type", "got 3", "text")),
        ({"name": ".hidden"}, ("name", "got '.hidden'", "first a letter or a digit, 100 at most")),
        ({"layers": [{}, None]}, ("layers[1]: no value is given; allowed: a whole number",)),
        ({"layers": None, "laiers": [9]}, (":1: layers: no layers to steer at",)),
        ({"pool": {"kind": "local", "env": ["A=B"]}}, ("pool.env[0]", "letters, digits and '_', first no digit")),
        ({"tracking": {"tool": "wandb", "project": "p", "tags": ["x" * 65]}}, ("tracking.tags[0]", "too long", "64 characters")),
        ({"results": "gs3://x"}, (":13: results: results cannot lie there", "s3://bucket/prefix")),
        ({"behaviors": {"b": {"file": "."}}}, ("behaviors.b.file", "it is a folder, not a file")),
        ({"behaviors": {"b": {"file": "/dev/null"}}}, ("behaviors.b.file", "it is a pipe or a device, not a file")),
        ({"behaviors": {"b": {"set": {"name": "xstest", "sha256": "AB"}}}}, ("sha256", "64 digits from 0 to 9 and a to f")),
        ({"models": {"a": {"folder": "refusal.jsonl"}}}, ("models.a.folder", "it is a file, not a folder")),
        ({"methods": [{"file": "."}]}, ("methods[0]", "it is a folder, not a file")),
    ],
)
def test_a_fault_is_told(tmp_path: Path, changes: dict[str, object], parts: tuple[str, ...]) -> None:
    message = refused(tmp_path, **changes)
    assert any(all(part in line for part in parts) for line in message.splitlines()), message
    assert "Input should" not in message
    assert "not valid here" not in message


TWO_FILES = {"refusal": {"file": "refusal.jsonl", "prompts": ["T1", 5, "T81", "T82"]}}
PARTS = [{"behavior": "refusal", "multiplier": "8"}, {"behavior": "x", "multiplier": 8}, {"behavior": "y", "multiplier": 8}]


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"layers": [10, 30, -1, "x", 31]}, ["layers[1]", "layers[2]", "layers[3]", "layers[4]"]),
        ({"methods": ["dimm", {"name": "dim", "options": {"lambda": 1}}]}, ["methods[0]", "methods[1].options.lambda"]),
        ({"multipliers": ["x", 2, 3], "intervention": "ablation"}, ["multipliers[0]", "multipliers[1]", "multipliers[2]"]),
        ({"behaviors": TWO_FILES}, [f"behaviors.refusal.prompts[{number}]" for number in range(1, 4)]),
        ({"transfer": [{"source": "small"}, {"source": "a", "target": "b"}]}, ["transfer[0].target", "[1].source", "[1].target"]),
        ({"grids": [{"models": [1, "a", "b"]}]}, [f"grids[0].models[{number}]" for number in range(3)]),
        (
            {"multipliers": None, "layers": [9], "steer": PARTS, "orthogonalize": True},
            ["[0].multiplier", "[1].behavior", "[2].behavior"],
        ),
        ({"analyses": [5, "angels", {"name": "angles", "bootstap": 1}]}, ["[0]", "analyses[1]", "analyses[2].bootstap"]),
        ({"parity": {"tools": [3, "nnsite", "hoks"]}}, [f"parity.tools[{number}]" for number in range(3)]),
        ({"scope": "list", "layers": [3, "x"], "scales": [1, 2]}, ["layers[1]"]),
    ],
)
def test_every_wrong_item_of_a_list_is_told_at_once(tmp_path: Path, changes: dict[str, object], places: list[str]) -> None:
    lines = refused(tmp_path, **changes).splitlines()
    assert len(lines) == len(places), lines
    assert all(any(f"{place}: " in line for line in lines) for place in places), lines


def test_an_unknown_key_of_a_model_that_is_called_like_a_section_is_told_rightly(tmp_path: Path) -> None:
    assert "did you mean 'embedded'?" in refused(tmp_path, models={"shape": {"embeded": "x"}})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("a sweep file is a mapping", "models, behaviors, multipliers")),
        ("[1, 2]", ("a sweep file is a mapping",)),
        ("a: 1\n b: 2\n", (":2:", "not valid YAML")),
        ("a:\n\t- 1\n", (":2:", "not valid YAML", "tab")),
        ("name: !!python/object/apply:os.system [ls]\n", (":1:", "tags are not used")),
        ("a: 1\n---\nb: 2\n", ("not valid YAML",)),
        ("a: \x07\n", ("not valid YAML",)),
        ("1: x\n", (":1:", "a key must be text")),
        ("<<: {a: 1}\n", (":1:", "merge keys are not used here", "write the keys out")),
        ("a: !!bool maybe\n", (":1: a:", "cannot read this value as bool", "got 'maybe'", "without a tag")),
        ("a: [!!int '']\n", (":1: a[0]:", "cannot read this value as int", "got ''")),
        ("a: !!float abc\n", ("cannot read this value as float", "got 'abc'")),
        ('a: "\\ud800"\n', (":1: a:", "half of a surrogate pair", "valid Unicode")),
        ('"\\ud800": a\n', (":1:", "a key must be text")),
        ("name: " + "[" * 60 + "]" * 60, ("nested too deeply",)),
        ("name: " + "9" * 5000, ("name: the number is too long",)),
        ("layers: [3, 010]\n", (":1: layers[1]", "got '010'", "allowed: 10;")),
        ("a:\n  b: 1:30\n", (":2: a.b", "to the base of 60", "got '1:30'", "allowed: 90;")),
        ("a: -1:00:30.5\n", ("to the base of 60", "allowed: -3630.5;")),
        ("a: 1_000.5\n", ("underscores", "allowed: 1000.5;")),
        ("a: 0o17\n", ("of another base", "allowed: 15;")),
        ("a: -0x1F\n", ("of another base", "allowed: -31;")),
        ("a: 08\n", ("leading zero", "allowed: 8;")),
        ("a: no\n", ("got 'no'", "allowed: false; in quotes if it is text")),
        ("multipliers: [8, yes]\n", (":1: multipliers[1]", "got 'yes'); allowed: a number")),
        ("grids: [{multipliers: {default: [no]}}]\n", ("grids[0].multipliers.default[0]", "allowed: a number")),
        ("decoding: {samples: on}\n", ("decoding.samples", "allowed: a number")),
        ("a: {b: On}\n", ("a.b", "got 'On'", "allowed: true;")),
        ("a: &x [1]\nb: [*x, *x]\n", (":1:", "anchors")),
    ],
)
def test_yaml_that_is_wrong_or_dangerous_is_refused(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    message = refused_text(tmp_path, text)
    assert all(part in message for part in parts), message


def test_a_folder_that_needs_code_of_its_own_is_refused_unless_it_is_trusted(tmp_path: Path) -> None:
    code = {"AutoConfig": "configuration_mine.Mine"}
    write_model(tmp_path / "own", model_type="mine-of-nobody", auto_map=code)
    said = refused(tmp_path, models={"own": {"folder": "own"}})
    assert "models.own.folder" in said
    assert "'mine-of-nobody' is read by code of its own ('configuration_mine.Mine')" in said
    assert "trust_remote_code: true" in said
    trusted = load(tmp_path, models={"own": {"folder": "own", "trust_remote_code": True}}, layers=[1])
    assert trusted.models[0].spec.trust_remote_code
    write_model(tmp_path / "known", auto_map=code)  # a Llama, which transformers reads by its own code
    assert load(tmp_path, models={"known": {"folder": "known"}}, layers=[1]).models[0].key == "known"


def test_a_missing_sweep_file_is_told_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "night.yaml").write_text("")
    for written in ("night", "sweeps/nihgt.yaml"):
        with pytest.raises(InputError, match=r"did you mean 'sweeps/night\.yaml'\?"):
            load_sweep(Path(written))


def test_too_large_a_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="too large"):
        load_sweep(tmp_path / "large.yaml")
    with pytest.raises(InputError, match="cannot read the file"):
        load_sweep(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_sweep(tmp_path / "binary.yaml")


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.sweep_file.yaml_text.MAX_NODES", 100)
    with pytest.raises(InputError, match="too many entries"):
        parse_yaml(f"[{'1, ' * 200}]", "x.yaml")


def test_numbers_are_read_as_people_write_them() -> None:
    assert parse_yaml("[1e-3, 2E5, 1.5e3, 7, '1e3']", "x.yaml").data == [0.001, 200000.0, 1500.0, 7, "1e3"]


def test_paths_are_relative_to_the_sweep_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "here" / "model")
    write_sweep(tmp_path / "here", sweep_data(models={"m": {"folder": "model"}}, layers=[1]))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_sweep(Path("../here/sweep.yaml")).models[0].spec.location == str(tmp_path / "here" / "model")


def test_a_control_character_in_a_name_does_not_reach_the_terminal(tmp_path: Path) -> None:
    text = yaml.safe_dump(sweep_data()) + '"\\e[2J": 1\n'
    assert "\x1b" not in refused_text(tmp_path, text)


def test_many_near_duplicates_are_told_in_one_line(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, sweep_data(behaviors={"b": {"file": "b.csv", "test": "t.jsonl"}}))
    (tmp_path / "b.csv").write_text("positive,negative\nWho likes red wine?,Who likes tea?\n")
    (tmp_path / "t.jsonl").write_text("\n".join(f'{{"input": "Who likes red wine {n}?"}}' for n in range(9)))
    (used,) = load_sweep(path).behaviors
    named = ", ".join(f"t{n} repeats p1" for n in range(1, 6))
    assert used.warnings == (f"behavior b: 9 of 9 test prompts nearly repeat an extraction prompt: {named}, ...",)


def test_test_prompts_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    data = sweep_data(behaviors={"french": {"file": "pairs.csv", "test": "questions.jsonl", "limit": 1}})
    path = write_sweep(tmp_path, data)
    (tmp_path / "pairs.csv").write_text("harmful,harmless\nBonjour,Hello\n")
    with pytest.raises(InputError) as caught:
        load_sweep(path)
    assert "behaviors.french.test: there is no such file (got 'questions.jsonl')" in str(caught.value)
    (tmp_path / "questions.jsonl").write_text('{"input": "How are you?"}\n{"input": "Who are you?"}\n')
    (used,) = load_sweep(path).behaviors
    assert [(prompt.id, prompt.text) for prompt in used.prompts] == [("t1", "How are you?")]
    assert [prompt.text for prompt in used.behavior.positive] == ["Bonjour"]
    (tmp_path / "questions.jsonl").write_text('{"input": "How are you?"}\n{"input": ""}\n')
    with pytest.raises(InputError, match=r"questions.jsonl:2: input: the input is empty"):
        load_sweep(path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"multipliers": None, "steer": [{"behavior": "refusal", "multiplyer": 8}]}, "steer[0].multiplyer: unknown key"),
        ({"multipliers": None, "steer": [{"behaviour": "refusal", "multiplier": 8}]}, "did you mean 'behavior'?"),
        ({"methods": [{"nam": "dim"}]}, "did you mean 'name'?"),
        ({"methods": [{"fil": "vectors.gguf"}]}, "did you mean 'file'?"),
        ({"methods": [{"name": "dim", "opions": {}}]}, "did you mean 'options'?"),
        ({"analyses": [{"nam": "angles"}]}, "did you mean 'name'?"),
        ({"analyses": [{"name": "angles", "behaviours": ["refusal"]}]}, "did you mean 'behaviors'?"),
        ({"analyses": [{"name": "angles", "bootstap": 3}]}, "did you mean 'bootstrap'?"),
    ],
)
def test_a_misspelled_key_is_one_problem(changes: dict[str, object], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_sweep(write_sweep(tmp_path, sweep_data(**changes)))
    (problem,) = caught.value.problems
    assert told in str(problem)


def test_a_key_that_is_missing_beside_an_unknown_one_is_told(tmp_path: Path) -> None:
    steer = [{"behavior": "refusal", "colour": "red"}]
    with pytest.raises(InputError) as caught:
        load_sweep(write_sweep(tmp_path, sweep_data(multipliers=None, steer=steer)))
    unknown, missing = sorted(map(str, caught.value.problems), key=lambda one: "' is missing" in one)
    assert "steer[0].colour: unknown key" in unknown
    assert "'multiplier' is missing" in missing
