"""Recipes: how the paper of a network trained it, tagged with where it is known from, and what a run keeps of it."""

import json

import pytest

from fer3d.config import TrainSettings
from fer3d.errors import ConfigError
from fer3d.image.networks import NETWORKS
from fer3d.models import model_names
from fer3d.train.plan import Experiment
from fer3d.train.recipes import OURS, all_recipes, read_recipe, recipe_facts, recipe_line, recipe_names, recipe_of
from fer3d.train.run import Callbacks, Device, train
from fer3d.train.settings import complete, train_settings, used
from tests.commands import fer3d
from tests.prepared import write_prepared


def test_every_network_for_pictures_has_a_recipe_of_its_own():
    for name in NETWORKS:
        assert recipe_names(name)[0] == name
        assert recipe_names(name)[-1] == OURS
    assert recipe_names("3c2f") == ("3c2f", "siamese", "ours")
    assert recipe_names("gcnn") == ("ours",)
    assert {recipe.network for recipe in all_recipes().values()} <= set(model_names())


@pytest.mark.parametrize("name", all_recipes())
@pytest.mark.parametrize("init", [None, "weights.pt"])
def test_every_value_of_a_recipe_is_used_and_says_where_it_is_from(name, init):
    recipe = all_recipes()[name]
    chosen = train_settings(recipe.network, recipe=name, model={"init": init})
    facts = recipe_facts(recipe.network, chosen, used(chosen))
    assert facts["changed"] == []
    assert set(facts["values"]) == set(recipe.for_run(fine_tuned=init is not None))
    for entry in facts["values"].values():
        assert entry["origin"] in ("known", "ours")
        assert len(entry["source"]) > 5
    json.dumps(facts, allow_nan=False)


@pytest.mark.parametrize(
    ("network", "values"),
    [
        ("yu-zhang", {"optimizer": "sgd", "lr": 0.005, "momentum": 0.9, "batch": 128, "perturb": True}),
        ("yu-zhang", {"model.illumination": "hist-eq-plane"}),
        ("tang", {"crop": 0.875, "test_crops": True, "decayed": "last"}),
        ("khorrami", {"lr": 0.01, "schedule": "constant", "weight_decay": 1e-5, "batch": 64, "steps": 31000}),
        ("khorrami", {"model.scaling": "0-2", "label_smoothing": 0.0}),
        ("dlp-cnn", {"lr": 0.01, "batch": 64, "drop_steps": (5000, 18000), "model.neighbours": 20}),
        ("dlp-cnn", {"model.read_out": "svm", "model.penalty_weight": 0.003}),
        ("alexnet", {"lr": 0.01, "weight_decay": 5e-4, "batch": 128, "epochs": 90, "decayed": "all"}),
        ("vgg-16", {"lr": 0.01, "weight_decay": 5e-4, "batch": 256, "epochs": 74}),
    ],
)
def test_the_name_of_a_network_selects_what_is_known_of_its_paper(network, values):
    recipe, chosen = recipe_of(network), train_settings(network)
    for key, value in values.items():
        own = key.startswith("model.")
        assert getattr(chosen.model if own else chosen, key.removeprefix("model.")) == value
        assert recipe.values[key].origin == "known", key
    assert chosen.recipe == network


def test_the_siamese_recipe_is_of_a_frontal_and_evenly_lit_target():
    chosen = train_settings("3c2f", recipe="siamese")
    assert chosen.easy == ("yaw=0", "flash=07")
    assert chosen.siamese > 0
    assert train_settings("3c2f", recipe="siamese", assignments=["siamese=0"]).easy == ()


def test_ours_is_the_defaults_of_the_package():
    for name in model_names():
        assert train_settings(name, recipe="ours") == complete(name, None)
    assert train_settings("tang", assignments=["recipe=ours"]) == complete("tang", None)
    assert recipe_facts("tang", TrainSettings(), used(complete("tang", None))) == {"name": "ours"}
    assert recipe_line({"name": "ours"}) == ""


def test_recipe_then_preset_then_file_then_what_is_typed(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("batch = 16\n", encoding="utf-8")
    assert train_settings("khorrami", "tiny").epochs == 15
    assert train_settings("khorrami", "tiny").steps is None
    chosen = train_settings("khorrami", "tiny", file, ["epochs=3", "lr=0.02"])
    assert (chosen.batch, chosen.epochs, chosen.lr, chosen.steps) == (16, 3, 0.02, None)
    assert (chosen.optimizer, chosen.schedule, chosen.model.scaling) == ("sgd", "constant", "0-2")


def test_another_optimizer_takes_its_own_rate():
    chosen, plain = train_settings("dlp-cnn", assignments=["optimizer=adamw"]), TrainSettings()
    for key in ("lr", "weight_decay", "decayed", "schedule", "drop_steps", "momentum", "nesterov"):
        assert getattr(chosen, key) == getattr(plain, key), key
    assert (chosen.batch, chosen.rotate_deg) == (64, 25.0)
    assert train_settings("dlp-cnn", assignments=["optimizer=sgd"]).lr == 0.01
    assert train_settings("vgg-11", assignments=["optimizer=adamw"]).lr == 1e-4


def test_what_is_typed_takes_the_rest_of_the_recipe_that_means_nothing_beside_it():
    assert train_settings("dlp-cnn", assignments=["schedule=cosine"]).drop_steps == ()
    assert train_settings("dlp-cnn", assignments=["model.penalty_weight=0"]).model.penalty_weight == 0
    assert train_settings("dlp-cnn", assignments=["model.read_out=softmax"]).model.read_out == "softmax"
    assert "mirror" not in used(train_settings("tang", assignments=["perturb=true"]))
    assert "decayed" not in used(train_settings("tang", assignments=["weight_decay=0"]))


def test_initial_weights_bring_the_settings_of_fine_tuning():
    assert (train_settings("alexnet").lr, train_settings("alexnet", model={"init": "a.pt"}).lr) == (0.01, 0.001)
    assert train_settings("alexnet", model={"init": "a.pt"}, assignments=["lr=0.5"]).lr == 0.5
    assert train_settings("dff-cnn").optimizer == "adamw"
    assert train_settings("dff-cnn", model={"init": "a.pt"}).optimizer == "sgd"


@pytest.mark.parametrize("network", ["dff-cnn", "df-cnn"])
def test_initial_weights_of_branches_are_tuned_in_two_stages(network):
    def stages(*items, preset="small"):
        chosen = train_settings(network, preset, assignments=("model.init=a.pt", *items))
        own = chosen.model
        return chosen.lr, own.freeze_epochs, own.frozen_lr, own.branch_lr

    recipe = recipe_of(network).for_run(fine_tuned=True)
    given = (recipe["lr"], *(recipe[f"model.{key}"] for key in ("freeze_epochs", "frozen_lr", "branch_lr")))
    assert stages() == stages(preset="full") == tuple(entry.value for entry in given) == (1e-3, 5, 1e-3, 1e-4)
    assert stages("model.freeze_epochs=2", "model.branch_lr=1e-5") == (1e-3, 2, 1e-3, 1e-5)
    assert stages("model.freeze_epochs=0") == (1e-3, 0, 1e-3, 1e-4)
    assert stages("epochs=6") == (1e-3, 5, 1e-3, 1e-4)
    assert stages("epochs=5") == stages("steps=50") == (1e-3, 0, 1e-3, 1e-4)  # a first stage might have no second
    assert stages("optimizer=adamw")[0] == TrainSettings().lr
    assert not train_settings(network).model.freeze_epochs
    assert not train_settings(network, "full").model.freeze_epochs
    with pytest.raises(ConfigError, match="`model.freeze_epochs` should be less than `epochs` 3, is 4"):
        stages("epochs=3", "model.freeze_epochs=4")


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ConfigError, match="`recipe` of tang should be one of tang, ours, is 'tagn'; did you mean"):
        train_settings("tang", recipe="tagn")
    with pytest.raises(ConfigError, match="`recipe` of gcnn should be one of ours, is 'paper'"):
        train_settings("gcnn", recipe="paper")
    assert train_settings("tang", recipe="paper") == train_settings("tang")
    with pytest.raises(ConfigError, match="`recipe` of gcnn should be one of ours, is 'tang'"):
        complete("gcnn", TrainSettings(recipe="tang"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paper = 'a'\n", "`network` should be a text, is None"),
        ("network = 'tang'\npaper = 'a'\n[trainig]\n", "unknown key `trainig`; did you mean 'training'"),
        ("network = 'tang'\npaper = 'a'\nmissing = 3\n", "`missing` should be a list of sentences, is 3"),
        (
            "network = 'tang'\npaper = 'a'\n[training]\nlr = 0.1\n",
            "`lr` should be a table of value and known, or of value and ours, is 0.1",
        ),
        (
            "network = 'tang'\npaper = 'a'\n[model]\nwidth = { value = 3, known = 'a', ours = 'b' }\n",
            "`width` should be",
        ),
        ("network = 'tang'\npaper = 'a'\n[fine-tuning]\nlr = { value = 3 }\n", "`lr` should be a table of value and"),
        ("network = 'tang'\npaper = 'a'\n[fine-tuning.model]\nwidth = 3\n", "`width` should be a table of value and"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"a.toml: {message}"):
        read_recipe(tmp_path / "a.toml")


def test_a_run_stores_its_recipe_and_what_came_from_it(tmp_path):
    data = write_prepared(tmp_path / "prepared", ["F0001", "M0001"])
    small = ["epochs=1", "batch=8", "model.pixels=16", "test_perturbations=2", "lr=0.001"]
    said = []
    run = train(
        "yu-zhang",
        Experiment(data, folds=2, only=(0,)),
        tmp_path / "run",
        train_settings("yu-zhang", assignments=small),
        device=Device("cpu"),
        callbacks=Callbacks(on_message=said.append),
    )
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    recipe = facts["recipe"]
    assert facts["settings"]["recipe"] == recipe["name"] == "yu-zhang"
    assert recipe["values"]["momentum"] == {
        "value": 0.9,
        "origin": "known",
        "source": "the paper, on training; recalled",
    }
    assert set(recipe["changed"]) == {"batch", "lr", "test_perturbations"}
    assert "ICMI 2015" in recipe["paper"]
    assert any(
        "recipe: yu-zhang, of its paper; 6 settings are known, 4 ours; changed here: lr, batch" in x for x in said
    )


def test_settings_print_the_recipe_with_its_sources(capsys):
    code, out, err = fer3d(capsys, "settings", "train", "khorrami")
    assert code == 0, err
    assert "# recipes of khorrami: khorrami, ours\n# this one: khorrami\n# after Khorrami, Le Paine and Huang" in out
    assert "# known: the authors' code: 31,000 batches\nsteps = 31000\n" in out
    assert "# missing: Batches were drawn with replacement" in out
    code, out, err = fer3d(capsys, "settings", "train", "khorrami", "--recipe", "ours")
    assert code == 0, err
    assert "# this one: ours\n" in out
    assert "# known" not in out
