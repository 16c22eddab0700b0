"""The command `audit`: what is wrong with an accuracy, from anybody's predictions. `fer3d.cli.app` registers it."""

from pathlib import Path
from typing import Annotated

import typer

from fer3d.cli.training import SOME_FAILED


def audit(
    predictions: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet file with a row for each tested scan, in the order of the test; or a run folder.",
            show_default=False,
        ),
    ],
    folds: Annotated[
        Path | None,
        typer.Option(
            help="Who was trained on: a table with subject (or id) and part (train, test) or fold, or a folds.json. "
            "[default: other folds of the predictions; of a run, its own]"
        ),
    ] = None,
    log: Annotated[
        Path | None,
        typer.Option(
            help="Training log: CSV with a row for each epoch and columns such as test_acc and val_loss; or a folder "
            "of them. [default: of a run, its own]"
        ),
    ] = None,
    reported: Annotated[
        str | None, typer.Option(help="The accuracy that is reported, as 83.4. [default: of a run, metrics.json]")
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="Its 95 % interval, as 80.1,86.7. [default: of a run, metrics.json]")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Comma-separated classes that the number is for; labels 0, 1, ... are in this order."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column under a name of its own, as subject=person_no; repeatable."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the scans' files, or prepared folder: also compare scans by their content."),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Size of the test batches. [default: many sizes are tried]", min=2)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Also write a page, such as audit.html. [default: none]")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what is wrong with an accuracy, from the predictions behind it. They need not come from fer3d.

    Ten faults are looked for: people in training and test, duplicates, frames of one sequence in both, the best epoch
    chosen on the test, batches of one class with batch statistics, swapped labels, a missing class, folds averaged
    wrongly, a number that does not follow, an interval by scan. Each is found, not found, or cannot be told; then the
    table says what is needed. The exit code is 3 if any is found. Of a run, audit.json is written for `fer3d report`.

    The file needs the true class and the predicted one, or probabilities. Each further column lets more be told:

        id,subject,truth,predicted,fold

        p01_anger_1,p01,anger,anger,0

        p02_fear_1,p02,fear,surprise,1

    Other usual names of columns are known (label, y_pred, person, p_anger, video, split, ...); the page docs/audit.md
    lists them.

        fer3d audit predictions.csv

        fer3d audit predictions.csv --folds people.csv --log log.csv --reported 83.4 --interval 80.1,86.7 -o audit.html

        fer3d audit theirs.csv --column subject=person_no --column truth=emotion_gt

        fer3d audit runs/dff
    """
    from fer3d.cli import show_audit

    found = show_audit.run_audit(
        predictions,
        out,
        json_,
        folds=folds,
        log=log,
        reported=reported,
        interval=interval,
        classes=tuple(word.strip() for word in classes.split(",")) if classes else (),
        columns=tuple(column or ()),
        data=data,
        batch=batch,
    )
    raise typer.Exit(SOME_FAILED if found else 0)
