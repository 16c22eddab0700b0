"""The contract of `Network`, checked when a class is defined: nothing that a class says is ignored."""

import pytest
import torch
from torch import nn

from fer3d.config import MapSettings, NetworkSettings, TextureSettings, TrainSettings, TreeSettings
from fer3d.data.channels import channel_names
from fer3d.errors import ArgumentError
from fer3d.models import MODELS, model_names, network_class
from fer3d.models.network import HOOKS, Criterion, Losses, Network, PretrainedSettings
from fer3d.train.objective import ClassLoss, Objective


class WidthSettings(MapSettings):
    width: int = 8


def initialise(self, maps=("depth",), classes=6, *, width=8):
    nn.Module.__init__(self)
    self.body = nn.Conv2d(len(channel_names(maps)) + 1, width, 3)
    self.head = nn.Linear(width, classes)


def features(self, x):
    return self.body(x).mean((2, 3))


def forward(self, x):
    return self.head(self.features(x))


WHOLE = {"Settings": WidthSettings, "__init__": initialise, "features": features, "forward": forward}


def define(left_out=(), abstract=False, **more):
    """A network that is whole, with more in its body, and without what is left out."""
    body = {key: value for key, value in WHOLE.items() if key not in left_out} | more
    return type(Network)("Mine", (Network,), body, abstract=abstract)


def test_a_whole_network_needs_no_more():
    network = define()(maps=("depth",), classes=3)
    x = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1])
    logits = network(x)
    assert logits.shape == (5, 3)
    made = network.losses(x, Objective(ClassLoss(torch.ones(3)), y, y))
    assert list(made.terms) == ["classification"]
    torch.testing.assert_close(made.terms["classification"], nn.functional.cross_entropy(logits, y))
    torch.testing.assert_close(made.outputs, logits)
    assert network.classifier is network.head
    assert dict(network.pretrained()) == {}
    assert (network.reads, network.warps) == ("maps", False)
    assert define().arguments(WidthSettings(maps="depth,normal", width=5), 6, {"size": 32}) == {
        "maps": ["depth", "normal"],
        "classes": 6,
        "width": 5,
    }
    with pytest.raises(ArgumentError, match="`model` should be a network with parts that can be left out, is Mine"):
        define().variants(WidthSettings())


@pytest.mark.parametrize(
    ("misspelt", "hook"),
    [
        ("lossess", "losses"),
        ("loss", "losses"),
        ("forwrad", "forward"),
        ("foward", "forward"),
        ("claassifier", "classifier"),
        ("pretraind", "pretrained"),
        ("pre_trained", "pretrained"),
        ("feature", "features"),
        ("variant", "variants"),
        ("argument", "arguments"),
        ("setings", "Settings"),
        ("settings", "Settings"),
        ("Setting", "Settings"),
        ("read", "reads"),
        ("warp", "warps"),
    ],
)
@pytest.mark.parametrize("abstract", [False, True])
def test_a_misspelt_hook_fails_as_the_class_is_defined(misspelt, hook, abstract):
    message = f"^Mine: `{misspelt}` is no hook of a Network; did you mean `{hook}`\\? If it is a method of your own"
    with pytest.raises(TypeError, match=message):
        define(abstract=abstract, **{misspelt: None})


@pytest.mark.parametrize(
    ("former", "hook"),
    [
        ("penalty", "losses"),
        ("criterion", "losses"),
        ("experts", "losses"),
        ("observe", "losses"),
        ("registers", "warps"),
    ],
)
def test_a_former_hook_fails_and_says_what_it_is_now(former, hook):
    with pytest.raises(TypeError, match=f"^Mine: `{former}` is no hook of a Network any more; see `{hook}`$"):
        define(**{former: None})


def test_an_svm_takes_the_place_of_the_last_layer():
    network = define()(maps=("depth",), classes=3).eval()
    x = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    weight, offset = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    seen = network.svm_input(x)
    assert torch.equal(seen, network.features(x))
    network.set_svm(weight, offset)
    torch.testing.assert_close(network(x), seen @ weight.float().T + offset.float())
    with pytest.raises(ArgumentError, match=r"`model` Mine should end with a linear layer \(3, 9\) with a bias for an"):
        network.set_svm(torch.zeros(3, 9), offset)


def test_methods_of_ones_own_are_fine():
    def answer(self):
        return 3

    mine = define(branch_features=answer, _lossess=answer, _forwrad=answer, encode=answer, SIZE=4, concatenated=answer)
    assert mine().branch_features() == mine()._lossess() == 3
    assert define(train=nn.Module.train)  # what torch has is no misspelling


def test_every_hook_may_be_defined():
    own = define(warps=True, losses=Network.losses, pretrained=Network.pretrained, classifier=Network.classifier)
    assert own.warps
    assert {name for name in HOOKS if hasattr(Network, name)} == set(HOOKS)


@pytest.mark.parametrize("reads", ["map", "pictures", "", None, 3])
def test_what_it_reads_must_be_known(reads):
    with pytest.raises(TypeError, match=f"^Mine: `reads` should be one of maps, trees, is {reads!r}$"):
        define(reads=reads)


@pytest.mark.parametrize(
    ("settings", "reads", "wanted"),
    [
        (NetworkSettings, "maps", "TextureSettings"),
        (PretrainedSettings, "maps", "TextureSettings"),
        (TreeSettings, "maps", "TextureSettings"),
        (MapSettings, "trees", "TreeSettings"),
        (dict, "maps", "TextureSettings"),
        ({"width": 3}, "maps", "TextureSettings"),
        (None, "trees", "TreeSettings"),
        (WidthSettings(), "maps", "TextureSettings"),
    ],
)
def test_settings_must_be_those_of_what_it_reads(settings, reads, wanted):
    with pytest.raises(TypeError, match=f"^Mine: `Settings` should be a subclass of {wanted}, is "):
        define(Settings=settings, reads=reads)


def test_settings_that_are_left_out_are_not_enough():
    with pytest.raises(TypeError, match="^Mine: `Settings` should be a subclass of TextureSettings, is <class .*Netw"):
        define(left_out=("Settings",))


def test_a_setting_must_be_an_argument():
    class Wider(WidthSettings):
        depth: int = 1

    with pytest.raises(
        TypeError, match="^Mine: the setting `depth` is no argument of `__init__`, which takes maps, cl"
    ):
        define(Settings=Wider)

    class Trained(Wider):
        of_training = frozenset({"depth"})

    assert define(Settings=Trained)

    class OfTexture(TextureSettings):  # which fields of a layout need be no arguments
        pass

    assert define(Settings=OfTexture)


def test_the_number_of_classes_must_be_an_argument():
    def narrow(self, maps=("depth",), *, width=8):
        initialise(self, maps, width=width)

    with pytest.raises(TypeError, match="^Mine: `__init__` should take `classes`, the number of logits$"):
        define(__init__=narrow)


def test_forward_must_be_there():
    with pytest.raises(TypeError, match="^Mine: `forward` is missing: a batch -> "):
        define(left_out=("forward",))
    assert define(left_out=("forward", "Settings", "__init__"), abstract=True)


def test_a_subclass_of_a_network_is_checked_too():
    mine = define()
    with pytest.raises(TypeError, match="^Other: `lossess` is no hook of a Network; did you mean `losses`"):
        type(Network)("Other", (mine,), {"lossess": None})
    assert type(Network)("Other", (mine,), {})(classes=4)(torch.zeros(1, 2, 8, 8)).shape == (1, 4)


def test_what_a_network_leaves_out_is_said_when_it_is_asked_for():
    def bare(self, maps=("depth",), classes=6, *, width=8):
        nn.Module.__init__(self)
        self.last = nn.Linear(2 * 8 * 8, classes)

    mine = define(left_out=("features",), __init__=bare, forward=lambda self, x: self.last(x.flatten(1)))()
    assert mine(torch.zeros(1, 2, 8, 8)).shape == (1, 6)
    with pytest.raises(
        ArgumentError, match="`model` Mine should have a layer `head`, or say which is its `classifier`"
    ):
        mine.classifier  # noqa: B018
    with pytest.raises(TypeError, match="Mine has no `features`"):
        mine.features(torch.zeros(1, 2, 8, 8))
    with pytest.raises(TypeError, match="Network is not a whole network: it has no `forward`"):
        Network()(torch.zeros(1))


def test_losses_may_have_more_terms_and_a_loss_of_its_own():
    """A hinge instead of cross entropy, and a term that the labels of all scans decide, mixed where mixup mixes."""

    def losses(self, x, criterion: Criterion):
        made = self(x)
        hinge = criterion(made, lambda outputs, labels: (1 - outputs.gather(1, labels[:, None])[:, 0]).relu())
        return Losses(made, {"hinge": hinge, "labels": criterion.of_labels(lambda labels: labels.float().mean())})

    network = define(losses=losses)(classes=3)
    x = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    y, z, seen = torch.tensor([0, 1, 2]), torch.tensor([2, 2, 1]), torch.tensor([0, 1, 2, 0, 1])
    weights = torch.tensor([1.0, 2.0, 3.0])
    made = network.losses(x, Objective(ClassLoss(weights, smoothing=0.3), y, seen))  # two scans are partners
    each = (1 - network(x)[:3].gather(1, y[:, None])[:, 0]).relu()
    torch.testing.assert_close(made.terms["hinge"], (weights[y] * each).mean())
    torch.testing.assert_close(made.terms["labels"], torch.tensor(0.8))
    mixed = network.losses(x[:3], Objective(ClassLoss(weights), y, y, (z, 0.25)))
    torch.testing.assert_close(mixed.terms["labels"], torch.tensor(0.75 * 1.0 + 0.25 * 5 / 3))


@pytest.mark.parametrize("name", model_names())
def test_every_network_keeps_the_contract(name):
    kind = network_class(name)
    assert MODELS[name] is kind
    assert issubclass(kind, Network)
    assert set(kind.Settings.of_training) <= set(kind.Settings.model_fields)
    assert set(kind.Settings().unused()) <= set(TrainSettings.model_fields)
