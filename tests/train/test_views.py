"""Views at test: mirror images, ten parts of a picture, and perturbed copies of pictures and of maps."""

import pytest
import torch
from torch import nn

from fer3d.catalog.targets import ClassTarget, UnitTarget
from fer3d.data.augment_maps import augment, unchanged
from fer3d.data.channels import Normalisation, channel_names
from fer3d.image.perturb import draw_perturbations, perturb
from fer3d.train.plan import Experiment
from fer3d.train.run import Device, train
from fer3d.train.run_folder import read_predictions, read_run
from fer3d.train.settings import train_settings
from fer3d.train.views import Views, answers, perturb_maps
from tests.prepared import SIX, write_prepared

COLOURS = channel_names(["texture"])
GREY = Normalisation(COLOURS, (0.0,) * 3, (1.0,) * 3)
TWO = ClassTarget("expression", SIX[:2])


class Sums(nn.Module):
    """Two numbers of the first channel, and the pictures that were seen."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        weight = torch.linspace(0.0, 1.0, x.shape[-1])
        return torch.stack([(x[:, 0] * weight).mean((1, 2)), x[:, 0].mean((1, 2))], dim=1)


def batch(count=3, size=16):
    values = torch.randn(count, 4, size, size, generator=torch.Generator().manual_seed(3))
    values[:, 3] = 1.0
    return values


def test_ten_parts_are_the_corners_and_the_middle_and_their_mirror_images():
    network = Sums()
    made = answers(network, GREY, batch(), TWO, Views(crop=0.75, crops=True))
    places = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
    parts = [batch()[..., row : row + 12, column : column + 12] for row, column in places]
    wanted = [Sums()(x).softmax(1) for part in parts for x in (part, part.flip(-1))]
    assert len(network.seen) == 10
    torch.testing.assert_close(made, torch.stack(wanted).mean(0))
    middle = answers(Sums(), GREY, batch(), TWO, Views(mirror=False, crop=0.75))
    torch.testing.assert_close(middle, Sums()(parts[0]).softmax(1))


def test_a_whole_picture_has_no_parts():
    assert Views(crop=1.0, crops=True).parts(16) == [(0, 0, 16)]
    one = answers(Sums(), GREY, batch(), TWO, Views(crops=True))
    torch.testing.assert_close(one, answers(Sums(), GREY, batch(), TWO, Views()))


def test_perturbed_copies_of_pictures_show_their_middle():
    network = Sums()
    answers(network, GREY, batch(), TWO, Views(perturbations=4, crop=0.75, crops=True))
    assert [x.shape[-1] for x in network.seen] == [12] * 4


def test_copies_are_averaged_for_action_units_too():
    network = Sums()
    made = answers(network, GREY, batch(), UnitTarget("action-units", ("AU1", "AU2")), Views(perturbations=3))
    wanted = torch.stack([Sums()(x).sigmoid() for x in network.seen]).mean(0)
    torch.testing.assert_close(made, wanted)


def smooth(size=48):
    """Depth, normals and a texture of a smooth surface, normalised, and the normalisation."""
    names = channel_names(["depth", "normal", "texture"])
    axis = torch.linspace(-1.0, 1.0, size)
    depth = -30 * (axis[:, None] ** 2 + 0.5 * axis**2 + 0.3 * axis[:, None] * axis)
    x, y = 0.3 * axis.expand(size, size), 0.2 * axis[:, None].expand(size, size)
    normal = torch.stack([x, y, (1 - x * x - y * y).sqrt()])
    colours = torch.stack([axis.sin().expand(size, size), axis[:, None].cos().expand(size, size), x])
    values = torch.cat([depth[None], normal, colours, torch.ones(1, size, size)])[None]
    normalisation = Normalisation(names, (-12.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0), (9.0, 0.3, 0.3, 0.1, 1.0, 1.0, 1.0))
    mean, deviation = (torch.tensor(n)[:, None, None] for n in (normalisation.mean, normalisation.deviation))
    return torch.cat([(values[:, :-1] - mean) / deviation, values[:, -1:]], dim=1), normalisation


@pytest.mark.parametrize("number", range(6))
def test_maps_are_perturbed_as_pictures_of_them_are_but_their_faces_move(number):
    """Colours go where those of pictures go; depth and normals too, changed as `augment` changes a face."""
    values, normalisation = smooth()
    draws = {name: part[number : number + 1] for name, part in draw_perturbations(6, 48, torch.Generator()).items()}
    draws["skew"] = torch.zeros(1, 2)
    made = perturb_maps(normalisation, 3.75, values, draws)
    picture = perturb(values, draws)
    inside = made[:, -1:] > 0
    assert inside.float().mean() > 0.7
    torch.testing.assert_close(made[:, 4:7] * inside, picture[:, 4:7] * inside, rtol=0, atol=0.02)
    zoom = 47 / (47 - float(draws["cut"]))
    depth = ((made[:, 0] * 9 - 12) / zoom + 12) / 9
    torch.testing.assert_close(depth * inside[:, 0], picture[:, 0] * inside[:, 0], rtol=0, atol=0.05)
    turned = torch.linalg.norm(made[:, 1:3], dim=1), torch.linalg.norm(picture[:, 1:3], dim=1)
    torch.testing.assert_close(turned[0] * inside[:, 0], turned[1] * inside[:, 0], rtol=0, atol=0.03)


def test_a_map_that_is_not_moved_stays_as_it_is():
    values, normalisation = smooth()
    still = {name: torch.zeros(1, *shape) for name, shape in (("angle", ()), ("skew", (2,)), ("cut", ()))}
    draws = {**still, "shift": torch.zeros(1, 2), "mirror": torch.zeros(1, dtype=torch.bool)}
    torch.testing.assert_close(perturb_maps(normalisation, 3.75, values, draws), values, rtol=0, atol=1e-4)
    draws["mirror"] = torch.ones(1, dtype=torch.bool)
    made = perturb_maps(normalisation, 3.75, values, draws)
    torch.testing.assert_close(made, normalisation.mirrored(values), rtol=0, atol=1e-4)


def test_light_that_is_standardised_is_left_alone():
    values, normalisation = smooth()
    made = augment(normalisation.channels, values, unchanged(1), 3.75, light=False)
    torch.testing.assert_close(made[:, 4:7], values[:, 4:7], rtol=0, atol=1e-4)
    assert float(made[:, 4:7].min()) < -0.5


def test_a_run_on_maps_averages_over_copies_and_predicts_the_same_from_its_file(tmp_path):
    from fer3d.data.samples import load
    from fer3d.prepare.store import read_manifest
    from fer3d.train.checkpoint import load_model

    prepared = write_prepared(tmp_path / "prepared", ["F0001", "M0001"])
    items = ("epochs=1", "batch=8", "model.width=2", "model.maps=depth,normal", "test_perturbations=3")
    settings = train_settings("plain-cnn", assignments=items)
    out = train("plain-cnn", Experiment(prepared, folds=2, only=(0,)), tmp_path / "run", settings, device=Device("cpu"))
    model, predicted = load_model(out / "r00f00" / "model.safetensors"), read_predictions(read_run(out))
    assert model.facts.views == Views(True, 3, 1.0, False)
    rows = [row for row in read_manifest(prepared) if row["id"] in predicted.ids]
    data = load([(prepared, rows)], ("depth", "normal"), SIX)
    x = model.normalisation.apply(data.take(torch.arange(len(rows)), torch.device("cpu")))
    order = [predicted.ids.index(row["id"]) for row in rows]
    wanted = torch.from_numpy(predicted.probabilities)[order].float()
    torch.testing.assert_close(model.probabilities(x), wanted, rtol=0, atol=1e-5)
    plain = answers(model.network, model.normalisation, x, model.facts.target, Views())
    assert not torch.allclose(plain, wanted, atol=1e-4)
