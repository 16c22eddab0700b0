"""What every option of every command does: the table that `tests/cli/test_options.py` walks.

A key is "COMMAND OPTION", such as "synth --frames", or "COMMAND ARGUMENT". Its value is a list of cases:

    Changes("synth x --layout bu4dfe", "--frames 3")           the option changes what the command calls or prints
    Refused("synth x", "--frames 3", "is of --layout bu4dfe")  here it would do nothing, and is refused by name

`{prepared}`, `{run}`, `{config}`, `{train}` and `{folds}` stand for files that the test makes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """A command line, and what is added to it; with `instead`, what takes the place of the whole line."""

    line: str
    option: str = ""
    instead: str = ""


@dataclass(frozen=True)
class Refused:
    """A command line, the option that would do nothing beside it, and a part of the message."""

    line: str
    option: str
    message: str
    pictures: bool = False  # the command meets a run that was trained on pictures


# What a command calls, recorded and not called. Of the others the output is compared.
CALLS = {
    "preprocess": "fer3d.cli.show_preparation.preprocess",
    "inspect": "fer3d.cli.show_preparation.run_inspect",
    "synth": "fer3d.synth.make",
    "pack": "fer3d.prepare.shards.pack",
    "maps": "fer3d.cli.show_preparation.run_maps",
    "landmarks": "fer3d.cli.show_landmarks.run_landmarks",
    "train landmarks": "fer3d.cli.show_landmarks.run_train_landmarks",
    "train": "fer3d.cli.show_training.train",
    "ablate": "fer3d.cli.show_training.run_grid",
    "study illumination": "fer3d.cli.show_training.run_grid",
    "evaluate": "fer3d.evaluate.measure.evaluate_run",
    "evaluate --pose-test": "fer3d.evaluate.pose.pose_test",
    "evaluate --data": "fer3d.evaluate.cross.cross_test",
    "compare": "fer3d.evaluate.compare.compare",
    "ensemble": "fer3d.cli.show_evaluation.run_ensemble",
    "audit": "fer3d.cli.show_audit.run_audit",
    "predict": "fer3d.cli.show_evaluation.run_predict",
    "faces": "fer3d.cli.show_faces.run_faces",
    "report": "fer3d.cli.show_evaluation.run_report",
}

_PREPROCESS, _TRAIN, _STUDY = (
    "preprocess scans --dataset bu3dfe",
    "train plain-cnn",
    "study illumination --data {prepared}",
)
_CROSS = "train plain-cnn --data {prepared} --protocol cross --test-data {prepared}"
_PARTS, _FILE = ("train plain-cnn --data {prepared} --protocol " + name for name in ("parts", "{folds}"))
_POSE, _EVALUATE, _PREDICT = "evaluate {run} --pose-test --resamples 9", "evaluate {run}", "predict {run} a.ply"
_OF_POSE, _NOTHING = "is of the pose test: give --pose-test too", "would change nothing: "


def _training(line: str) -> dict[str, list[Changes | Refused]]:
    """The options that the training commands share; `line` begins with the command."""
    own = line.split(" --")[0]
    command = "study illumination" if own.startswith("study") else own.split()[0]
    return {
        f"{command} {option}": [Changes(line, f"{option} {value}")]
        for option, value in {
            "--protocol": "leave-one-out",
            "--fold": "0,1",
            "--folds": "3",
            "--target": "valence",
            "--rounds": "2",
            "--labels": "fear,anger",
            "--preset": "tiny",
            "--config": "{train}",
            "--set": "batch=7",
            "--accelerator": "cpu",
            "--devices": "2",
            "--seed": "2",
        }.items()
    } | {f"{command} --allow-missing": [Changes(f"{line} --protocol bu3dfe-p1", "--allow-missing")]}


OPTIONS: dict[str, list[Changes | Refused]] = {
    " --version": [Changes("settings preprocess", instead="--version")],
    " --install-completion": [],  # Typer's own
    " --show-completion": [],
    "preprocess scans": [Changes(_PREPROCESS, instead="preprocess others --dataset bu3dfe")],
    "preprocess --out": [Changes(_PREPROCESS, "-o new")],
    "preprocess --dataset": [Changes(_PREPROCESS, "--dataset bosphorus")],
    "preprocess --maps": [
        Changes(_PREPROCESS, "--maps depth"),
        Refused(
            "preprocess . --dataset jaffe", "--maps depth", "`maps` would change nothing: it is of scans, these are pic"
        ),
    ],
    "preprocess --size": [Changes(_PREPROCESS, "--size 96")],
    "preprocess --tree": [
        Changes(_PREPROCESS, "--tree"),
        Refused(
            "preprocess . --dataset jaffe", "--tree", "`tree` would change nothing: it is of scans, these are pictures"
        ),
    ],
    "preprocess --workers": [Changes(_PREPROCESS, "--workers 2")],
    "preprocess --strict": [Changes(_PREPROCESS, "--strict")],
    "preprocess --config": [Changes(_PREPROCESS, "--config {config}")],
    "preprocess --set": [
        Changes(_PREPROCESS, "--set hole_mm=3"),
        Refused(
            "preprocess . --dataset bu3dfe", "--set detectors=haar", "`detectors` would change nothing: it is of pict"
        ),
        Refused(
            "preprocess . --dataset bu3dfe", "--set tree_rays=8", "`tree_rays` would change nothing: it is of sample "
        ),
        Refused(
            "preprocess . --dataset jaffe", "--set crop_mm=80", "`crop_mm` would change nothing: it is of scans, the"
        ),
        Refused(
            "preprocess . --dataset bu3dfe --maps depth",
            "--set curvature_radius_mm=7",
            "`curvature_radius_mm` would change nothing: it is of curvature and trees, `maps` is depth",
        ),
    ],
    **{
        f"preprocess {option}": [
            Changes(_PREPROCESS, f"{option} {value}"),
            Refused("preprocess . --dataset jaffe", f"{option} {value}", "is of scans, "),
        ]
        for option, value in {"--unit": "mm", "--up": "+z", "--towards-camera": "+x", "--pose": "shape"}.items()
    },
    **{
        f"preprocess {option}": [
            Changes("preprocess . --dataset jaffe", option),
            Refused(
                "preprocess . --dataset bu3dfe", option, "would change nothing: it is of pictures, these are scans"
            ),
        ]
        for option in ("--crops", "--whole-picture")
    },
    "settings command": [Changes("settings", "train")],
    "settings network": [
        Changes("settings train", "tang"),
        Refused("settings preprocess", "tang", "`network` would change nothing: it is of train, this is preprocess"),
    ],
    "settings --recipe": [
        Changes("settings train tang", "--recipe ours"),
        Refused("settings preprocess", "--recipe ours", "`--recipe` would change nothing: it is of train, this is pre"),
    ],
    "inspect scans": [Changes("inspect scans", instead="inspect others")],
    "inspect --dataset": [Changes("inspect scans", "--dataset bosphorus")],
    "inspect --read": [Changes("inspect scans", "--no-read")],
    "inspect --workers": [
        Changes("inspect scans", "--workers 61"),
        Refused(
            "inspect scans --no-read", "--workers 2", "`--workers` would change nothing: it is of reading the files"
        ),
    ],
    "inspect --json": [Changes("inspect scans", "--json")],
    **{
        f"{command} {option}": [Changes(line, f"{option} {value}")]
        for command, line in {"inspect": "inspect scans", "maps": "maps a.ply"}.items()
        for option, value in {"--unit": "mm", "--up": "+x", "--towards-camera": "+x"}.items()
    },
    "maps --pose": [Changes("maps a.ply", "--pose shape")],
    "synth out": [Changes("synth", "new")],
    "synth --layout": [Changes("synth x", "--layout frgc")],
    "synth --subjects": [Changes("synth x", "--subjects 3")],
    "synth --seed": [Changes("synth x", "--seed 3")],
    "synth --workers": [Changes("synth x", "--workers 61")],
    "synth --face-model": [Changes("synth x", "--face-model face.npz")],
    "synth --levels": [
        Changes("synth x", "--levels 2"),
        *(
            Refused(
                f"synth x --layout {name}",
                "--levels 2",
                f"`--levels` {_NOTHING}it is of --layout bu3dfe, this is {name}",
            )
            for name in ("bu4dfe", "bosphorus", "frgc")
        ),
    ],
    "synth --frames": [
        Changes("synth x --layout bu4dfe", "--frames 3"),
        *(
            Refused(
                f"synth x --layout {name}",
                "--frames 3",
                f"`--frames` {_NOTHING}it is of --layout bu4dfe, this is {name}",
            )
            for name in ("bu3dfe", "bosphorus", "frgc")
        ),
    ],
    "synth --meshes": [Changes("synth x", "--meshes")],
    "synth --pitch": [Changes("synth x", "--pitch 2")],
    "synth --yaw": [Changes("synth x", "--yaw 2")],
    "synth --nod": [Changes("synth x", "--nod 2")],
    "synth --roll": [Changes("synth x", "--roll 2")],
    "synth --wrinkles": [Changes("synth x", "--wrinkles 2")],
    "pack prepared": [Changes("pack prepared", instead="pack other")],
    "pack --out": [Changes("pack prepared", "-o new")],
    "pack --per-shard": [Changes("pack prepared", "--per-shard 3")],
    "maps scan": [Changes("maps a.ply", instead="maps b.ply")],
    "maps --out": [Changes("maps a.ply", "-o b.png")],
    "maps --landmarks": [
        Changes("maps a.ply", "--landmarks a.bnd"),
        Refused(
            "maps a.ply --set pose=shape", "--landmarks a.bnd", "`--landmarks` would change nothing: it is of poses fro"
        ),
    ],
    "maps --config": [Changes("maps a.ply", "--config {config}")],
    "maps --set": [
        Changes("maps a.ply", "--set hole_mm=3"),
        Refused("maps a.ply", "--set tree=true", "`tree` would change nothing: it is of prepared folders"),
        Refused("maps a.ply", "--set keep_mesh=false", "`keep_mesh` would change nothing: it is of prepared folders"),
        Refused("maps a.ply", "--set whole_picture=true", "`whole_picture` would change nothing: it is of pictures"),
    ],
    "landmarks scans": [Changes("landmarks a.ply", instead="landmarks b.ply")],
    "landmarks --out": [Changes("landmarks a.ply", "-o a.json"), Changes("landmarks a.ply b.ply", "-o new")],
    "landmarks --format": [
        Changes("landmarks a.ply", "--format pp"),
        Changes("landmarks a.ply b.ply", "--format pp"),
        Refused("landmarks a.ply -o a.json", "--format pp", "`--format` should be that of --out, json, is pp"),
    ],
    "landmarks --scheme": [
        Changes("landmarks a.ply", "--scheme ibug68"),
        Refused("landmarks a.ply --format lm3", "--scheme ibug68", "`scheme` should be bosphorus for .lm3"),
    ],
    "landmarks --html": [Changes("landmarks a.ply", "--html a.html")],
    "landmarks --weights": [Changes("landmarks a.ply", "--weights mine.safetensors")],
    "landmarks --workers": [
        Changes("landmarks a.ply b.ply", "--workers 61"),
        Refused("landmarks a.ply", "--workers 2", f"`--workers` {_NOTHING}it is of several scans, this is one"),
    ],
    "landmarks --again": [
        Changes("landmarks a.ply b.ply", "--again"),
        Changes("landmarks a.ply -o a.json", "--again"),
        Refused("landmarks a.ply", "--again", f"`--again` {_NOTHING}it is of files, the points are printed"),
    ],
    **{
        f"train landmarks --{option}": [Changes("train landmarks", f"--{option} {value}")]
        for option, value in {
            "out": "x.safetensors",
            "work": "x",
            "people": 7,
            "face-model": "face.npz",
            "seed": 7,
            "workers": 61,
            "finder-epochs": 7,
            "placer-epochs": 7,
            "trials": 7,
        }.items()
    },
    **_training(_TRAIN),
    "train --folds": [
        Changes(_TRAIN, "--folds 3"),
        Refused(_CROSS, "--folds 3", "`folds` would change nothing: protocol cross makes one fold"),
        Refused(_PARTS, "--folds 3", "`folds` would change nothing: protocol parts takes the data set's own parts"),
        Refused(_FILE, "--folds 3", "folds.json holds its folds"),
        Refused(
            f"{_TRAIN} --data {{prepared}} --protocol leave-one-out", "--folds 3", "makes one fold of each subject"
        ),
        Refused(f"{_TRAIN} --data {{prepared}} --protocol bu3dfe-p1", "--folds 3", "has its own classes and folds"),
    ],
    "train --rounds": [
        Changes(_TRAIN, "--rounds 2"),
        Refused(_CROSS, "--rounds 2", "`rounds` would change nothing: protocol cross makes one fold"),
        Refused(_PARTS, "--rounds 2", "`rounds` would change nothing: protocol parts"),
        Refused(_FILE, "--rounds 2", "`rounds` would change nothing"),
    ],
    "train --labels": [
        Changes(_TRAIN, "--labels fear,anger"),
        Refused(
            f"{_TRAIN} --data {{prepared}} --protocol bu3dfe-p1", "--labels fear,anger", "has its own classes and folds"
        ),
    ],
    "train --allow-missing": [
        Changes(f"{_TRAIN} --protocol bu3dfe-p1", "--allow-missing"),
        Refused(f"{_TRAIN} --data {{prepared}}", "--allow-missing", "protocol k-fold takes the subjects at hand"),
        Refused(_CROSS, "--allow-missing", "`allow_missing` would change nothing: protocol cross"),
    ],
    "train --set": [
        Changes(_TRAIN, "--set batch=7"),
        Refused(_TRAIN, "--set noise_mm=1", "`noise_mm` would change nothing for plain-cnn"),
    ],
    "train model": [
        Changes(_TRAIN, instead="train tang"),
        Refused("train --seed 1", "landmarks", "should follow `train` at once: fer3d train landmarks [OPTIONS]"),
    ],
    "train --data": [Changes(_TRAIN, "--data other")],
    "train --out": [Changes(_TRAIN, "-o other")],
    "train --test-data": [
        Changes("train plain-cnn --protocol cross", "--test-data other"),
        Refused(f"{_TRAIN} --data {{prepared}}", "--test-data {prepared}", "test_data"),
    ],
    "train --distinct": [
        Changes("train plain-cnn --protocol cross --test-data other", "--distinct"),
        Refused(f"{_TRAIN} --data {{prepared}}", "--distinct", "`distinct` is of protocol cross, `protocol` is k-fold"),
    ],
    "train --maps": [
        Changes(_TRAIN, "--maps depth"),
        *(
            Refused(f"train {name}", "--maps depth", "unknown key `model.maps` of")
            for name in ("tang", "gcnn", "flm-cnn")
        ),
    ],
    "train --init": [
        Changes("train oriented-fusion --set model.backbone=resnet-18", "--init timm"),
        *(Changes(f"train {name}", "--init runs/before") for name in ("plain-cnn", "tang", "gcnn")),
    ],
    **{
        f"train --{option}": [
            Changes("train flm-cnn", f"--{option}"),
            Refused("train plain-cnn", f"--{option}", f"unknown key `model.{key}` of plain-cnn"),
        ]
        for option, key in {"no-mes": "mes", "no-hvp": "hvp", "uniform": "tree"}.items()
    },
    "train --recipe": [
        Changes("train tang", "--recipe ours"),
        Changes("train tang --recipe ours", "--recipe paper"),
        Refused("train gcnn", "--recipe tang", "`recipe` of gcnn should be one of ours, is 'tang'"),
    ],
    "ablate --recipe": [Changes("ablate df-cnn", "--recipe ours")],
    "study illumination --recipe": [Changes(_STUDY, "--recipe paper")],
    "train --validation": [
        Changes(_TRAIN, "--validation"),
        Refused(_CROSS, "--validation", "`validation` would change nothing: protocol cross makes one fold"),
        Refused(_PARTS, "--validation", "`validation` would change nothing: protocol parts"),
        Refused(_FILE, "--validation", "`validation` would change nothing"),
    ],
    "train --resume": [Changes(_TRAIN, "--resume")],
    **_training("ablate plain-cnn"),
    "ablate model": [Changes("ablate", "plain-cnn")],
    "ablate --data": [Changes("ablate", "--data other")],
    "ablate --out": [Changes("ablate", "-o other")],
    "ablate --set": [
        Changes("ablate", "--set batch=7"),
        Refused(
            "ablate flm-cnn",
            "--set model.mes=false",
            "`model.mes` would change nothing: the ablation switches it on and",
        ),
    ],
    "ablate --workers": [Changes("ablate", "--workers 2")],
    "ablate --accelerator": [
        Changes("ablate", "--accelerator cpu"),
        Refused(
            "ablate --workers 2",
            "--accelerator cuda",
            "`--accelerator cuda` would change nothing: 2 workers compute on",
        ),
    ],
    "ablate --devices": [
        Changes("ablate", "--devices 2"),
        Refused(
            "ablate --workers 2", "--devices 2", "`--devices 2` would change nothing: 2 workers compute on the CPU"
        ),
    ],
    **_training(_STUDY),
    "study illumination --data": [Changes(_STUDY, "--data other")],
    "study illumination --out": [Changes(_STUDY, "-o other")],
    "study illumination --networks": [Changes(_STUDY, "--networks tang")],
    "study illumination --illuminations": [Changes(_STUDY, "--illuminations dog")],
    "study illumination --workers": [Changes(_STUDY, "--workers 2")],
    "study illumination --set": [
        Changes(_STUDY, "--set batch=7"),
        Refused(_STUDY, "--set model.illumination=dog", "`model.illumination` would change nothing: the study sets it"),
        Refused(_STUDY, "--set model.width=8", "unknown key `model.width` of tang"),
    ],
    "evaluate runs": [Changes(_EVALUATE, instead="evaluate {run} {twin}")],
    "evaluate --resamples": [Changes(_EVALUATE, "--resamples 9")],
    "evaluate --seed": [Changes(_EVALUATE, "--seed 9")],
    "evaluate --pose-test": [Changes(_EVALUATE, instead=_POSE)],
    "evaluate --prepared": [
        Changes(_POSE, "--prepared {prepared}"),
        Refused(
            _EVALUATE, "--prepared {prepared}", f"`--prepared` {_NOTHING}it {_OF_POSE}, or --data to test on another"
        ),
        Refused(f"{_EVALUATE} --data {{prepared}}", "--prepared {prepared}", f"`--prepared` {_NOTHING}it {_OF_POSE}"),
    ],
    **{
        f"evaluate {option}": [
            Changes(_POSE, f"{option} {value}"),
            Refused(_EVALUATE, f"{option} {value}", f"`{option}` {_NOTHING}it {_OF_POSE}"),
        ]
        for option, value in {"--angles": "0,30", "--scans": "3", "--workers": "2"}.items()
    },
    "evaluate --data": [
        Changes(_EVALUATE, "--data {prepared}"),
        Refused(
            _POSE, "--data {prepared}", "`--data` would change nothing: it stands for an evaluation without the pose t"
        ),
    ],
    "evaluate --json": [
        Changes("evaluate {run} --resamples 9", "--json"),
        Refused(_POSE, "--json", "`--json` would change nothing: it stands for an evaluation without the pose test"),
    ],
    "compare runs": [Changes("compare {run} {twin}", instead="compare {twin} {run}")],
    "compare --resamples": [Changes("compare {run} {twin}", "--resamples 9")],
    "compare --seed": [Changes("compare {run} {twin}", "--seed 9")],
    "compare --json": [Changes("compare {run} {twin} --resamples 9", "--json")],
    "audit predictions": [Changes("audit a.csv", instead="audit b.csv")],
    **{
        f"audit --{option}": [Changes("audit a.csv", f"--{option} {value}")]
        for option, value in {
            "folds": "folds.csv",
            "log": "log.csv",
            "reported": "83.4",
            "interval": "80,86",
            "classes": "anger,fear",
            "column": "subject=who",
            "data": "scans",
            "batch": "32",
            "out": "audit.html",
        }.items()
    },
    "audit --json": [Changes("audit a.csv", "--json")],
    "ensemble runs": [Changes("ensemble a b", instead="ensemble a c")],
    "ensemble --out": [Changes("ensemble a b", "-o c.json")],
    "ensemble --rule": [Changes("ensemble a b", "--rule hinge")],
    "ensemble --resamples": [Changes("ensemble a b", "--resamples 9")],
    "ensemble --seed": [Changes("ensemble a b", "--seed 9")],
    "predict run": [Changes(_PREDICT, instead="predict other a.ply")],
    "predict scans": [Changes(_PREDICT, "b.ply")],
    "predict --fold": [
        Changes(_PREDICT, "--fold r00f00"),
        Refused(
            "predict {config} a.ply",
            "--fold r00f00",
            "`fold` would change nothing: {config} holds the network of one f",
        ),
    ],
    **{
        f"predict {option}": [
            Changes(_PREDICT, typed),
            Refused(
                _PREDICT, typed, f"`{option}` {_NOTHING}it is of scans, the run was trained on pictures", pictures=True
            ),
        ]
        for option, typed in {
            "--landmarks": "--landmarks",
            "--unit": "--unit m",
            "--up": "--up +x",
            "--towards-camera": "--towards-camera +x",
        }.items()
    },
    # Refused for runs on scans by `fer3d.predict.load`: tests/test_predict.py.
    "predict --crops": [Changes(_PREDICT, "--crops")],
    "predict --whole-picture": [Changes(_PREDICT, "--whole-picture")],
    "predict --json": [
        Changes(_PREDICT, "--json"),
        Refused(f"{_PREDICT} --csv", "--json", "should not be given together"),
    ],
    "predict --csv": [
        Changes(_PREDICT, "--csv"),
        Refused(f"{_PREDICT} --json", "--csv", "should not be given together"),
    ],
    "faces pictures": [Changes("faces a.png", "b.png")],
    "faces --out": [Changes("faces a.png", "-o new")],
    "faces --size": [Changes("faces a.png", "--size 96")],
    "faces --detectors": [Changes("faces a.png", "--detectors haar")],
    "faces --all": [Changes("faces a.png", "--all")],
    "faces --whole-picture": [Changes("faces a.png", "--whole-picture")],
    "faces --json": [
        Changes("faces a.png", "--json"),
        Refused("faces a.png --csv", "--json", "should not be given together"),
    ],
    "faces --csv": [
        Changes("faces a.png", "--csv"),
        Refused("faces a.png --json", "--csv", "should not be given together"),
    ],
    "report runs": [Changes("report a", instead="report b")],
    "report --out": [Changes("report a", "-o b.html")],
    "report --prepared": [
        Changes("report a", "--prepared b"),
        Refused("report {run}", "--prepared nowhere", "nowhere/manifest.parquet: is missing"),
    ],
}
