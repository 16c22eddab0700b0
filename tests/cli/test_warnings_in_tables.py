"""What the table of a command warns of is in its CSV and JSON too."""

import csv
import io
from pathlib import Path

from fer3d.cli.show_evaluation import _row_json, _rows_csv
from fer3d.predict import Prediction, Row, ValuePrediction


def test_csv_of_predictions_has_the_warnings_of_the_table_and_of_the_json():
    good = Prediction({"anger": 0.9, "fear": 0.1}, 1.0, ("a hole, filled", "the unit was guessed"))
    values = ValuePrediction("valence", "values", {"valence": 0.5}, {"valence": 0.1}, ("no texture",))
    rows = [Row(Path("a.ply"), good), Row(Path("b.ply"), None, "no nose"), Row(Path("c.ply"), values)]
    cells = list(csv.DictReader(io.StringIO(_rows_csv(rows, ("anger", "fear", "valence")))))
    assert [row["warnings"] for row in cells] == ["a hole, filled; the unit was guessed", "", "no texture"]
    assert [row["reason"] for row in cells] == ["", "no nose", ""]
    assert [_row_json(row).get("warnings") for row in rows] == [list(good.warnings), None, ["no texture"]]
