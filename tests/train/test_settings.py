"""Every setting of every network: it is used, or refused in one line that names it; none is accepted and ignored."""

import pytest

from fer3d.config import NetworkSettings, TrainSettings
from fer3d.errors import ArgumentError, ConfigError
from fer3d.models import model_names, network_class
from fer3d.models.oriented_fusion import OrientedFusion
from fer3d.models.plain_cnn import PlainCNN
from fer3d.train import settings as train_settings_module
from fer3d.train.settings import complete, train_settings, unused, used, with_own
from tests import setting_effects
from tests.setting_effects import (
    AUGMENTATION,
    OWN_READERS,
    OWN_VALUES,
    READERS,
    VALUES,
    Effects,
    every_setting,
    given,
    own_names,
    read_names,
    value_of,
)

XYZ = {"model.vertex_features": "xyz"}
OF_PICTURES = ("texture_jitter", "shift", "perturb", "crop")


@pytest.fixture(scope="module")
def effects(tmp_path_factory):
    return Effects(tmp_path_factory.mktemp("settings"))


def test_every_setting_has_a_value_to_try():
    assert set(VALUES) == set(TrainSettings.model_fields) - {"model"}
    assert set(OWN_VALUES) == set(own_names())
    for key, value in VALUES.items():
        assert value != TrainSettings.model_fields[key].default, key
    for name in model_names():
        for key, field in network_class(name).Settings.model_fields.items():
            assert value_of(name, f"model.{key}") != field.default, (name, key)


def test_every_setting_of_training_has_a_reader_that_reads_it():
    assert set(READERS) | set(AUGMENTATION) == set(VALUES)
    assert not set(READERS) & set(AUGMENTATION)
    for key, (file, function) in (*READERS.items(), *OWN_READERS.items()):
        assert key in read_names(file, function), (key, file, function)
    assert "nothing" not in read_names("train/loop.py", "fit")
    assert not read_names("train/loop.py", "no_such_function")


@pytest.mark.parametrize("network", model_names())
def test_a_setting_is_used_or_refused_in_one_line_that_names_it(effects, network):
    own = network_class(network).Settings.model_fields
    outcomes = {setting: effects.outcome(network, setting) for setting in every_setting()}
    assert {setting: outcome.why for setting, outcome in outcomes.items() if outcome.kind == "ignored"} == {}
    for setting, outcome in outcomes.items():
        if outcome.kind == "refused":
            assert "\n" not in outcome.why
            assert setting in outcome.why or setting.removeprefix("model.") in outcome.why, (setting, outcome.why)
        key = setting.removeprefix("model.")
        if key != setting and key not in own:
            assert outcome.kind == "refused"
            wanted = f"settings: unknown key `{setting}` of {network}; "
            assert outcome.why.startswith(wanted)
            assert outcome.why.endswith(", ".join(f"model.{name}" for name in own))
    kinds = [outcome.kind for outcome in outcomes.values()]
    assert kinds.count("used") > 20 and kinds.count("refused") > 20


@pytest.mark.parametrize("network", model_names())
def test_what_is_refused_would_have_changed_nothing(effects, network, monkeypatch):
    """The other way round: where nothing is refused, the same look finds the same settings to be ignored."""
    moves = [key for key in AUGMENTATION if key != "perturb"]  # which would change maps, but not as a face does
    refused = [key for key in moves if effects.outcome(network, key).kind == "refused"]
    assert refused
    smooth = effects.outcome(network, "label_smoothing").kind == "used"
    for module in (train_settings_module, setting_effects):
        monkeypatch.setattr(module, "used", lambda chosen: chosen.model_dump(mode="json"))
    monkeypatch.setattr(train_settings_module, "unused", lambda chosen: {})
    assert [key for key in moves if effects.outcome(network, key).kind == "ignored"] == refused
    assert (effects.outcome(network, "label_smoothing").kind == "used") == smooth == (network != "tang")


@pytest.mark.parametrize(
    ("network", "setting", "beside"),
    [
        ("oriented-fusion", "momentum", {"optimizer": "sgd"}),
        ("gcnn", "momentum", {"optimizer": "sgd"}),
        ("gcnn", "nesterov", {"optimizer": "sgd"}),
        ("tang", "easy", {"siamese": 0.5, "easy": ("kind=H",)}),
        ("tang", "drop_factor", {"schedule": "steps", "drop_steps": (9,)}),
        ("gcnn", "drop_steps", {"schedule": "steps", "drop_steps": (9,)}),
        ("tang", "test_crops", {"crop": 0.5}),
        ("dlp-cnn", "model.svm_c", {"model.read_out": "svm"}),
        ("gcnn", "model.init_distinct", {"model.init": "runs/a"}),
        ("oriented-fusion", "model.position", {"model.backbone": "resnet-18"}),
        ("df-cnn", "model.freeze_epochs", {"model.init": "weights.safetensors"}),
        ("df-cnn", "model.frozen_lr", {"model.init": "weights.safetensors", "model.freeze_epochs": 2}),
        ("dff-cnn", "model.branch_lr", {"model.init": "weights.safetensors"}),
        ("df-cnn", "model.svm_c", {"model.read_out": "svm"}),
        ("oriented-fusion", "tilt_deg", {"model.maps": ("normal",)}),
        *(("gcnn", key, XYZ) for key in AUGMENTATION if key not in OF_PICTURES),
        *(("surface-grid", key, XYZ) for key in ("shift_mm", "depth_jitter_mm")),
    ],
)
def test_what_is_of_another_setting_is_used_beside_it(effects, network, setting, beside):
    outcome = effects.outcome(network, setting, beside)
    assert outcome.kind == "used", outcome.why


@pytest.mark.parametrize(
    ("network", "setting", "beside", "message"),
    [
        (
            "oriented-fusion",
            "model.location_dropout",
            {"model.backbone": "small"},
            "`location_dropout` is of locally connected branches, `backbone` is small",
        ),
        ("df-cnn", "model.frozen_lr", {}, "`frozen_lr` is of frozen branches, `freeze_epochs` is 0"),
        ("df-cnn", "model.svm_c", {}, "`svm_c` is of an SVM, `read_out` is softmax"),
        (
            "oriented-fusion",
            "model.auxiliary",
            {"model.maps": ("depth",)},
            "`auxiliary` is of several maps, `maps` is depth",
        ),
        (
            "oriented-fusion",
            "model.map_dropout",
            {"model.maps": ("depth",)},
            "`map_dropout` is of several maps, `maps` is d",
        ),
        (
            "dff-cnn",
            "model.freeze_epochs",
            {},
            "`freeze_epochs` would freeze random weights: give initial weights with `i",
        ),
        (
            "oriented-fusion",
            "model.branch_lr",
            {},
            "`branch_lr` is of branches with initial weights, `init` is not set",
        ),
        (
            "df-cnn",
            "model.curvature",
            {"model.maps": ("depth",)},
            "`curvature` is of the map curvature, `maps` is depth",
        ),
        ("dlp-cnn", "model.neighbours", {"model.penalty_weight": 0.0}, "`neighbours` is of the locality-preserving l"),
        ("frr-cnn", "model.form", {"model.penalty_weight": 0.0}, "`form` is of the redundancy penalty, `penalty_we"),
        (
            "oriented-fusion",
            "texture_jitter",
            {"model.maps": ("depth",)},
            "`texture_jitter` would change nothing for oriented-fusion",
        ),
        ("plain-cnn", "tilt_deg", {"model.maps": ("curvature",)}, "it is of depth and normals, it reads curvature"),
        ("plain-cnn", "model.illumination", {"model.maps": ("depth",)}, "`illumination` hist-eq needs texture among"),
        ("flm-cnn", "mixup", {}, "`mixup` would change nothing for flm-cnn: it is of maps, it reads sample trees"),
        ("flm-cnn", "bend_mm", {}, "`bend_mm` would change nothing for flm-cnn: it moves vertices, it reads the curv"),
        ("tang", "mirror", {"perturb": True}, "`mirror` would change nothing for tang: it moves a face otherwise than"),
        ("tang", "test_mirror", {"test_perturbations": 3}, "`test_mirror` would change nothing for tang: it averages"),
        (
            "oriented-fusion",
            "perturb",
            {"model.maps": ("depth",)},
            "`perturb` would change nothing for oriented-fusion: it is of netw",
        ),
        ("tang", "test_crops", {}, "`test_crops` would change nothing for tang: it is of parts of pictures, `crop` is"),
        ("tang", "shift_mm", {}, "`shift_mm` would change nothing for tang: it is of maps in mm, it reads pictures"),
        (
            "oriented-fusion",
            "shift",
            {},
            "`shift` would change nothing for oriented-fusion: it is of networks for pictures, it reads",
        ),
        ("tang", "epochs", {"steps": 9}, "`epochs` would change nothing for tang: it counts passes over the scans, "),
        ("tang", "drop_steps", {}, "`drop_steps` is of schedule steps, `schedule` is one-cycle"),
        (
            "tang",
            "nesterov",
            {"optimizer": "sgd", "momentum": 0.0},
            "`nesterov` would change nothing for tang: it is of",
        ),
        ("tang", "decayed", {"weight_decay": 0.0}, "`decayed` would change nothing for tang: it is of weight decay"),
        ("tang", "recipe", {}, "`recipe` of tang should be one of tang, ours, is 'siamese'"),
        ("gcnn", "model.init_distinct", {}, "`init_distinct` is of initial weights, `init` is not given"),
        ("tang", "mixup", {"siamese": 0.5, "easy": ("kind=E",)}, "`mixup` should be 0 with siamese"),
    ],
)
def test_what_another_setting_makes_useless_is_refused(effects, network, setting, beside, message):
    outcome = effects.outcome(network, setting, beside)
    assert outcome.kind == "refused"
    assert message in outcome.why


def test_a_run_stores_what_it_uses_and_no_more():
    for network in model_names():
        chosen = complete(network, None)
        stored = used(chosen)
        assert set(stored) == set(TrainSettings.model_fields) - set(unused(chosen))
        assert set(stored["model"]) == set(network_class(network).Settings.model_fields) - set(chosen.model.idle())
    assert "momentum" not in used(complete("oriented-fusion", None))
    assert used(given("oriented-fusion", {"optimizer": "sgd"}))["momentum"] == 0.9
    idle = {"position", "location_dropout", "frozen_lr", "branch_lr", "svm_c"}
    assert idle & set(used(complete("oriented-fusion", None))["model"]) == {"location_dropout"}
    assert not idle & set(used(complete("df-cnn", None))["model"])
    tuned = {"model.init": "weights.safetensors", "model.freeze_epochs": 1}
    small = used(given("oriented-fusion", {"model.backbone": "small", **tuned}))["model"]
    assert idle & set(small) == {"position", "frozen_lr", "branch_lr"}
    svm = used(given("df-cnn", {"model.read_out": "svm-probabilities", **tuned}))["model"]
    assert idle & set(svm) == {"frozen_lr", "branch_lr", "svm_c"}


def test_a_default_that_is_given_is_no_error():
    """A file that lists all settings may be used for every network."""
    same = [f"{key}={TrainSettings.model_fields[key].default}" for key in ("momentum", "noise_mm", "texture_jitter")]
    for network in ("oriented-fusion", "gcnn", "tang"):
        assert used(train_settings(network, "small", None, same, recipe="ours")) == used(complete(network, None))


def test_later_sources_win(tmp_path):
    config = tmp_path / "own.toml"
    text = "epochs = 7\nlr = 0.5\nbatch = 9\n[model]\nwidth = 3\nmask = true\nfusion = 8\n"
    config.write_text(text, encoding="utf-8")
    typed, own = ["lr=0.25", "model.width=4", "model.fusion=6"], {"width": 5, "maps": None}
    chosen = train_settings("oriented-fusion", "tiny", config, typed, model=own, batch=2)
    assert (chosen.epochs, chosen.lr, chosen.batch) == (7, 0.25, 2)
    assert (chosen.model.width, chosen.model.fusion, chosen.model.mask) == (5, 6, True)
    assert train_settings("oriented-fusion", "tiny").model.width == 8
    assert chosen.model.maps == OrientedFusion.Settings().maps


@pytest.mark.parametrize(
    ("network", "assignments", "message"),
    [
        (
            "plain-cnn",
            ["model.backbone=resnet-18"],
            "unknown key `model.backbone` of plain-cnn; it takes model.init, model.init_distinct, model.illum",
        ),
        (
            "plain-cnn",
            ["model.widht=3"],
            "unknown key `model.widht` of plain-cnn; did you mean `model.width`? It",
        ),
        (
            "gcnn",
            ["model.mes=false"],
            "unknown key `model.mes` of gcnn; it takes model.init, model.init_distinct, model.vertex_features, ",
        ),
        ("oriented-fusion", ["width=3"], "unknown key `width`; did you mean `model.width`?"),
        ("oriented-fusion", ["backbon=small"], "unknown key `backbon`; did you mean `model.backbone`?"),
        ("oriented-fusion", ["epoch=3"], "unknown key `epoch`; did you mean `epochs`?"),
        (
            "gcnn",
            ["zzz=3"],
            "unknown key `zzz`; gcnn takes model.init, model.init_distinct, model.vertex_features, model.width, mo",
        ),
        ("gcnn", ["model=3"], "`model` should be a table of the network's settings, is 3"),
        ("gcnn", ["model.width=wide"], "settings: model: `width` Input should be a valid integer"),
        (
            "oriented-fusion",
            ["model.backbone=vgg"],
            "settings: model: `backbone` Input should be 'oriented', 'scattering', ",
        ),
        ("oriented-fusion", ["model.width=3", "model=4"], "`model` should be a table of the network's settings, is 4"),
    ],
)
def test_a_wrong_key_names_the_nearest_and_what_there_is(network, assignments, message):
    with pytest.raises(ConfigError) as caught:
        train_settings(network, "small", None, assignments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_file_is_named(tmp_path):
    (tmp_path / "own.toml").write_text("[model]\nbackbone = 'small'\n", encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"own.toml: unknown key `model.backbone` of plain-cnn; it takes model.init, "
    ):
        train_settings("plain-cnn", "small", tmp_path / "own.toml")
    (tmp_path / "own.toml").write_text("noise_mm = 2.0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="`noise_mm` would change nothing for plain-cnn: it is of sample trees"):
        train_settings("plain-cnn", "small", tmp_path / "own.toml")


def test_settings_made_by_hand_are_checked_as_training_begins():
    assert complete("plain-cnn", None).model == PlainCNN.Settings()
    assert complete("plain-cnn", TrainSettings(epochs=3)).model == PlainCNN.Settings()
    own = PlainCNN.Settings(width=3)
    assert complete("plain-cnn", TrainSettings(model=own)).model is own
    with pytest.raises(
        ArgumentError, match="`settings.model` should be the settings of oriented-fusion, OrientedFusion.Settings"
    ):
        complete("oriented-fusion", TrainSettings(model=own))
    with pytest.raises(ConfigError, match="`noise_mm` would change nothing for plain-cnn: it is of sample trees"):
        complete("plain-cnn", TrainSettings(noise_mm=2.0))
    with pytest.raises(ConfigError, match="`momentum` would .*: it is of sgd, `optimizer` is adamw"):
        complete("plain-cnn", TrainSettings(momentum=0.5, optimizer="sgd").model_copy(update={"optimizer": "adamw"}))
    frozen = TrainSettings(model=OrientedFusion.Settings(init="weights.safetensors", freeze_epochs=5), epochs=5)
    with pytest.raises(ConfigError, match="`model.freeze_epochs` should be less than `epochs` 5, is 5"):
        complete("oriented-fusion", frozen)
    assert complete("oriented-fusion", frozen.model_copy(update={"epochs": 6})).epochs == 6


def test_parts_that_are_left_out_take_their_settings_with_them():
    """An ablation of maps goes on where a variant has no use for a setting that the whole has."""
    whole = train_settings(
        "plain-cnn",
        "small",
        None,
        ["texture_jitter=0.5", "epochs=3", "model.maps=depth,texture", "model.illumination=dog", "model.width=3"],
    )
    made = {parts: with_own(whole, own) for parts, own in PlainCNN.variants(whole.model).items()}
    assert list(made) == [("depth",), ("texture",), ("depth", "texture")]
    for parts, chosen in made.items():
        assert complete("plain-cnn", chosen) is chosen
        assert (chosen.epochs, chosen.model.width, chosen.model.maps) == (3, 3, parts)
        lit = "texture" in parts
        assert used(chosen).get("texture_jitter") == (0.5 if lit else None)
        assert chosen.model.illumination == ("dog" if lit else "raw")
    assert made["depth", "texture"] == whole
    dark = with_own(whole, PlainCNN.Settings(maps=("depth",)))
    assert dark.texture_jitter == TrainSettings().texture_jitter


def test_presets_give_a_network_what_it_has():
    for network, backbone in (("oriented-fusion", "resnet-18"), ("dff-cnn", "resnet-18"), ("df-cnn", "vgg-m")):
        full = train_settings(network, "full")
        assert (full.model.backbone, full.optimizer, full.lr) == (backbone, "sgd", 1e-2)
        assert full.model.freeze_epochs == 0
        tuned = train_settings(network, "full", None, ["model.fusion=64"], model={"init": "weights.safetensors"})
        assert (tuned.model.backbone, tuned.model.fusion) == (backbone, 64)
        assert (tuned.model.freeze_epochs, tuned.model.frozen_lr, tuned.model.branch_lr) == (5, 1e-3, 1e-4)  # spec 2.3
        assert tuned.lr == 1e-3
    chosen = ["model.init=a.pt", "model.freeze_epochs=2", "lr=5e-3", "model.backbone=vgg-16"]
    own = train_settings("df-cnn", "full", None, chosen)
    assert (own.model.freeze_epochs, own.lr, own.model.backbone) == (2, 5e-3, "vgg-16")
    assert train_settings("gcnn", "full").model == network_class("gcnn").Settings()
    assert train_settings("gcnn", "tiny").model.width == 8


def test_base_settings_are_of_no_network():
    assert NetworkSettings().unused() == NetworkSettings().derived() == {}
    with pytest.raises(ConfigError, match="`preset` should be one of small, full, tiny, got 'big'"):
        train_settings("oriented-fusion", "big")
    with pytest.raises(ArgumentError, match="`model` should be one of oriented-fusion, .*, is 'dff'"):
        train_settings("dff")
